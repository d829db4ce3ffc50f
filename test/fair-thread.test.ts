import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createLargeSecretReader } from '../agent/access/large-secrets/reader.ts';
import { createLargeObjectReader } from '../agent/pods/kubernetes/large-objects/reader.ts';

/** Threads of this process that have the lowest priority: nice 19, the 19th field (proc_pid_stat(5)). */
function threadsOfLowestPriority(): string[] {
  return readdirSync('/proc/self/task').filter((thread) => {
    const path = `/proc/self/task/${thread}/stat`;
    // One that ends meanwhile is none of them.
    const [, fields = ''] = existsSync(path) ? readFileSync(path, 'utf8').split(') ') : [];
    return fields.split(' ')[16] === '19';
  });
}

describe('a thread that reads what a tenant made large', { timeout: 60_000 }, () => {
  const json = new TextEncoder().encode('{}');
  it.each([
    ['secrets', () => createLargeSecretReader().find('team-a', [], 'reg.example.com/app')],
    ['objects', () => createLargeObjectReader().read('team-a', { kind: 'pod', json })],
  ] as const)('goes behind everything else that the agent does: %s', async (_, read) => {
    const before = threadsOfLowestPriority();
    await read();
    expect(threadsOfLowestPriority().filter((thread) => !before.includes(thread))).not.toEqual([]);
  });
});
