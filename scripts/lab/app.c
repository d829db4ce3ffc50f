/* The only program in the lab's images: waits for SIGTERM, `exit N` ends at once, `sleep-ms N` after a while. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void ignore_until_waited_for(int signal_number) { (void)signal_number; }

int main(int argc, char **argv) {
  /* PID 1 gets no signal that it has no handler for. */
  signal(SIGTERM, ignore_until_waited_for);
  signal(SIGINT, ignore_until_waited_for);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, NULL);
  if (argc == 3 && strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
  if (argc == 3 && strcmp(argv[1], "sleep-ms") == 0) {
    long ms = atol(argv[2]);
    struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
    sigtimedwait(&ends, NULL, &limit);
    return 0;
  }
  sigwaitinfo(&ends, NULL);
  return 0;
}
