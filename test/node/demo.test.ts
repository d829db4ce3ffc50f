import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { type NodeRecord, readRecord } from '../../scripts/lab/node-record.ts';
import { nodeFolderPrefix } from '../../scripts/lab/places.ts';
import { leftovers } from '../lab/leftovers.ts';
import { offers } from './scene.ts';

const demo = fileURLToPath(new URL('../../scripts/story/demo.ts', import.meta.url));
const hasNri = offers.some(({ containerd, available }) => containerd === '2' && available);

type Running = {
  readonly child: ChildProcess;
  /** Standard output so far. */
  readonly text: () => string;
  readonly exitCode: Promise<number | null>;
};

function startDemo(...operands: string[]): Running {
  // As in a terminal, which interrupts the whole group; here only the demo itself is told.
  const child = spawn(process.execPath, [demo, ...operands], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout?.on('data', (part) => (text += part));
  child.stderr?.on('data', (part) => (text += part));
  return {
    child,
    text: () => text,
    exitCode: new Promise((resolve) => child.once('close', (code) => resolve(code))),
  };
}

/** The folder of the node that this process started; waits until `isReady` holds. */
async function nodeOf(
  { child, text }: Running,
  isReady: (record: NodeRecord) => boolean,
): Promise<{ readonly root: string }> {
  const parent = dirname(nodeFolderPrefix);
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(20)) {
    const names = (await readdir(parent)).filter((name) => name.startsWith(basename(nodeFolderPrefix)));
    for (const root of names.map((name) => join(parent, name))) {
      const record = await readRecord(root);
      if (record !== undefined && record.owner.pid === child.pid && isReady(record)) return { root };
    }
  }
  throw new Error(`no node came up:\n${text()}`);
}

describe.skipIf(!hasNri)('scripts/demo', { timeout: 240_000 }, () => {
  it('tells that everything went as promised, in lines of at most 80 columns', async () => {
    const running = startDemo();
    const { root } = await nodeOf(running, () => true);
    expect(await running.exitCode, running.text()).toBe(0);
    const lines = running.text().split('\n');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines.filter((line) => line.startsWith('NOT'))).toEqual([]);
    const text = running.text();
    expect(text).toContain('B, without any secret, starts a container from it: runs all the same');
    expect(text).toContain('B, without a secret, tries it now: never starts');
    expect(text).toMatch(/F's own registry claims A's image: never starts/);
    expect(text).toMatch(/G runs what the node itself may pull: runs/);
    expect(text).toMatch(/B reads: pullwarden: image ".*": this pod has no\n? *imagePullSecret/);
    expect(text).toMatch(/^(\d+) of \1 steps went as promised/m);
    expect(await leftovers(root, [])).toEqual([]);
  });

  it.each<[string, (record: NodeRecord) => boolean, RegExp]>([
    ['while the registries come up', ({ children }) => children.length > 0, /./],
    ['in the middle of the story', () => true, /With Pullwarden[\s\S]*A's container of before/],
  ])('leaves nothing behind when it is interrupted %s', async (_, isReady, said) => {
    const running = startDemo('2');
    const { root } = await nodeOf(running, isReady);
    await vi.waitFor(() => expect(running.text()).toMatch(said), { timeout: 60_000, interval: 20 });
    running.child.kill('SIGINT');
    expect(await running.exitCode).toBe(130);
    expect(running.text()).not.toMatch(/\n {4}at /);
    expect(await leftovers(root, [])).toEqual([]);
  });

  it.each([
    [['--help'], 0],
    [['nonsense'], 2],
    [['2', 'more'], 2],
    [['--verbose'], 2],
  ])('says in one line how it is called: %j', async (operands, exitCode) => {
    const running = startDemo(...operands);
    expect(await running.exitCode).toBe(exitCode);
    expect(running.text()).toBe('usage: scripts/demo [1.6|1.7|2]\n');
  });
});
