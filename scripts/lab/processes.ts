import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from './errors.ts';

/** A process named so that a reused pid is not mistaken for it. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  startTime: string;
}

async function procFile(pid: number, file: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}

/** The process that has this pid now; undefined when there is none or only its zombie is left. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await procFile(pid, 'stat');
  if (stat === undefined) return undefined;
  // The command name may hold spaces and brackets; the fields proper follow its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0] ?? 'X';
  const startTime = fields[19];
  if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid, startTime };
}

/** Whether this very process is still alive. */
export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** What a running process is: the name of its program file and its arguments. */
export interface RunningProcess extends ProcessIdentity {
  program: string;
  arguments: string[];
}

/** Every process that can be looked at. */
export async function runningProcesses(): Promise<RunningProcess[]> {
  const found: RunningProcess[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const identity = await identify(Number(entry));
    const commandLine = await procFile(Number(entry), 'cmdline');
    const executable = await readlink(`/proc/${entry}/exe`).catch(() => '');
    if (identity === undefined || commandLine === undefined) continue;
    const program = basename(executable.replace(/ \(deleted\)$/, ''));
    found.push({ ...identity, program, arguments: commandLine.split('\0').slice(0, -1) });
  }
  return found;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

/**
 * Signals these processes and waits for their end.
 * @param timeoutMs how long to wait.
 * @returns those still alive after that time.
 */
export async function endProcesses(
  processes: ProcessIdentity[],
  name: NodeJS.Signals,
  timeoutMs: number,
): Promise<ProcessIdentity[]> {
  const deadline = Date.now() + timeoutMs;
  for (const target of processes) {
    if (await isAlive(target)) signal(target.pid, name);
  }
  for (;;) {
    const alive: ProcessIdentity[] = [];
    for (const target of processes) if (await isAlive(target)) alive.push(target);
    if (alive.length === 0 || Date.now() > deadline) return alive;
    await sleep(10);
  }
}
