/**
 * Are credentials kept in memory for longer than they are needed? `node scripts/leaks/main.ts [--churn-seconds N]
 * [--wait-seconds N]` has pods come and go, each with a password of its own, that the registry refuses; and looks
 * for these passwords in heap snapshots of the agent (as its image runs it): at once, and after a wait that is
 * longer than the ten minutes that they may be kept (agent/access/secret-keyrings.ts).
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSharedNode, type SharedNode } from '../bench/abuse/shared-node.ts';
import { endWithUsage, readCommandLine, wholeNumberFrom } from '../command-line.ts';
import { CriError } from '../lab/cri.ts';
import { buildAgent, programOfImage } from '../story/program-of-image.ts';

const USAGE = 'node scripts/leaks/main.ts [--churn-seconds N] [--wait-seconds N]';
const NAMESPACE = 'churn';
const SNAPSHOT_WITHIN_MS = 120_000;
const LOOK_MS = 1_000;

const { values } = readCommandLine(USAGE, {
  options: {
    'churn-seconds': { type: 'string', default: '90' },
    'wait-seconds': { type: 'string', default: '720' },
  },
});
const churnMs = 1_000 * (wholeNumberFrom(1, values['churn-seconds']) ?? endWithUsage(USAGE));
const waitMs = 1_000 * (wholeNumberFrom(1, values['wait-seconds']) ?? endWithUsage(USAGE));

buildAgent();
const node = await openSharedNode(['--heapsnapshot-signal=SIGUSR2', ...programOfImage()]);
try {
  // Where the agent, which is started from here, writes its snapshots.
  process.chdir(node.lab.root);
  await node.freshAgent();
  const passwords = await churn(node, performance.now() + churnMs);
  const atOnce = await keptOf(passwords);
  await sleep(waitMs);
  const later = await keptOf(passwords);
  process.stdout.write(
    `${passwords.length} passwords: ${atOnce} in memory at once, ${later} after ${waitMs / 1_000} s\n`,
  );
  // That none is found at once would mean that nothing was looked at.
  if (atOnce === 0 || later > 0) process.exitCode = 1;
} finally {
  process.chdir('/');
  await node.stop();
}

async function churn({ lab, present, putConfig, bind }: SharedNode, until: number): Promise<string[]> {
  const { host } = lab.registries.htpasswd;
  const [image = ''] = await present(['churn/app']);
  const passwords: string[] = [];
  while (performance.now() < until) {
    const password = `wrong-${randomUUID()}`;
    const secret = `secret-${passwords.length}`;
    passwords.push(password);
    putConfig(NAMESPACE, secret, JSON.stringify({ auths: { [host]: { username: 'alice', password } } }));
    const pod = await bind({ namespace: NAMESPACE, images: [image], imagePullSecrets: [secret] });
    await pod.create(0).catch((error: unknown) => {
      if (!(error instanceof CriError)) throw error;
    });
    await pod.remove();
  }
  return passwords;
}

/** How many of them are in the agent's heap. */
async function keptOf(passwords: readonly string[]): Promise<number> {
  const before = new Set(snapshots());
  process.kill(node.agent().pid, 'SIGUSR2');
  const heap = await snapshotBesides(before);
  return passwords.filter((password) => heap.includes(password)).length;
}

function snapshots(): string[] {
  return readdirSync('.').filter((file) => file.endsWith('.heapsnapshot'));
}

/** The text of the next snapshot, once it is whole. */
async function snapshotBesides(before: ReadonlySet<string>): Promise<string> {
  for (let waitedMs = 0; waitedMs < SNAPSHOT_WITHIN_MS; waitedMs += LOOK_MS) {
    await sleep(LOOK_MS);
    const [file] = snapshots().filter((name) => !before.has(name));
    const text = file === undefined ? '' : readFileSync(file, 'latin1');
    if (text.trimEnd().endsWith('}')) return text;
  }
  throw new Error(`the agent wrote no heap snapshot within ${SNAPSHOT_WITHIN_MS} ms`);
}
