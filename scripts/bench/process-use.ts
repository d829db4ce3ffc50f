import { readdirSync, readFileSync } from 'node:fs';

/** What a process uses, from /proc: memory in MiB, CPU in seconds since its start. */
export type ProcessUse = {
  readonly residentMiB: number;
  /** Of these, what is its own and in no file. */
  readonly anonymousMiB: number;
  readonly cpuSeconds: number;
  readonly openFiles: number;
};

/** Linux gives CPU times in ticks of 10 ms (USER_HZ), whatever the kernel's own are. */
const TICKS_PER_SECOND = 100;

/** @throws Error where there is no such process any more. */
export function useOf(pid: number): ProcessUse {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    residentMiB: kibibytes(status, 'VmRSS') / 1_024,
    anonymousMiB: kibibytes(status, 'RssAnon') / 1_024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    openFiles: readdirSync(`/proc/${pid}/fd`).length,
  };
}

function kibibytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
}
