/*
 * For LD_PRELOAD: lets the n-th call that changes a file below FAULT_DIR fail, and with FAULT_LASTS=1 every one after it.
 * FAULT_ERRNO is what it fails with; FAULT_TORN=1 writes half of the data first, as a power cut may.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls = 0;

static long number(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : atol(text);
}

static int is_below(const char *path) {
  const char *folder = getenv("FAULT_DIR");
  return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_ours(int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

static int fails(void) {
  long at = number("FAULT_AT");
  calls += 1;
  if (at == 0 || calls < at || (calls > at && !number("FAULT_LASTS"))) return 0;
  errno = (int)number("FAULT_ERRNO");
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t write_at(ssize_t (*real)(int, const void *, size_t, off64_t), int file, const void *data, size_t size,
                        off64_t offset) {
  if (!is_ours(file) || !fails()) return real(file, data, size, offset);
  if (number("FAULT_TORN")) {
    real(file, data, size / 2, offset);
    errno = (int)number("FAULT_ERRNO");
  }
  return -1;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
  return write_at(REAL(pwrite64), file, data, size, offset);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
  return write_at((ssize_t(*)(int, const void *, size_t, off64_t))REAL(pwrite), file, data, size, offset);
}

ssize_t write(int file, const void *data, size_t size) {
  if (is_ours(file) && fails()) return -1;
  return REAL(write)(file, data, size);
}

int fsync(int file) {
  if (is_ours(file) && fails()) return -1;
  return REAL(fsync)(file);
}

int fdatasync(int file) {
  if (is_ours(file) && fails()) return -1;
  return REAL(fdatasync)(file);
}

int ftruncate64(int file, off64_t size) {
  if (is_ours(file) && fails()) return -1;
  return REAL(ftruncate64)(file, size);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (is_below(path) && (flags & O_ACCMODE) != O_RDONLY && fails()) return -1;
  return REAL(open64)(path, flags, mode);
}
