import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Abuse, abusers } from '../../scripts/bench/abuse/abusers.ts';
import { type GoodTenant, prepareGoodTenant } from '../../scripts/bench/abuse/good-tenant.ts';
import { connectionOf, measurePhase, type Phase } from '../../scripts/bench/abuse/row.ts';
import { openSharedNode, type SharedNode } from '../../scripts/bench/abuse/shared-node.ts';
import { offers } from './scene.ts';

/**
 * The short form of `npm run bench -- abuse`: several abusers at once, beside one good tenant. What is
 * counted is asserted, what is timed only as a ratio that no busy machine comes near. One abuser of each kind
 * is part of every run; all of them of `npm run test:long`.
 */
const agent = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const PODS = 1;
const MOST_TIMES_LATER = 20;
/** Below this, in ms, a main thread that is held up is that of a busy machine. */
const UNREMARKABLE_MS = 500;

type Group = readonly [what: string, names: readonly string[]];

const oneOfEachKind: readonly Group[] = [
  ['one abuser of each kind', ['wrong passwords', 'missing secrets', 'long error text', 'slow registry']],
];
const everybody: readonly Group[] = [
  [
    'secrets and pods',
    ['long passwords', 'wrong passwords', 'missing secrets', 'large secrets', 'large pods'],
  ],
  [
    'registries of their own',
    ['long error text', 'long manifest', 'slow registry', 'hanging registry', 'dripping registry'],
  ],
  ['environments, and a restart of the agent', ['large environments']],
];
const isLong = process.env.LONG_TESTS !== undefined;
const groups = isLong ? everybody : oneOfEachKind;
const isHere = offers.some(({ containerd, available }) => containerd === '2' && available);

describe.skipIf(!isHere)('what tenants write, and what another gets', { timeout: 180_000 }, () => {
  let node: SharedNode;
  let good: GoodTenant;
  let alone: Phase;

  beforeAll(async () => {
    node = await openSharedNode([agent]);
    const tenant = await prepareGoodTenant(node, (1 + groups.length) * PODS);
    await node.freshAgent();
    good = await tenant();
    alone = await measurePhase(node, 'alone', () => good.work(PODS));
  }, 180_000);

  afterAll(async () => {
    await node.stop();
  }, 60_000);

  it('is about abusers that there are; the long form about all of them', () => {
    const all = abusers.map(({ name }) => name).sort();
    expect(everybody.flatMap(([, names]) => names).sort()).toEqual(all);
    for (const [, names] of oneOfEachKind) expect(all).toEqual(expect.arrayContaining([...names]));
  });

  it.each(groups)(
    '%s: the other tenant runs its containers, the veto stays, and nothing starts without a right',
    async (what, names) => {
      const begun: Abuse[] = [];
      try {
        for (const abuser of abusers.filter(({ name }) => names.includes(name))) {
          begun.push(await abuser.begin(node, 'short'));
        }
        const beside = await measurePhase(node, what.replace(/[^a-z]+/g, '-'), () => good.work(PODS));
        expect(begun.map((abuse) => abuse.created())).toEqual(begun.map(() => 0));
        expect(await connectionOf(node)).toEqual({ disconnects: 0, connectedAtEnd: true });
        const held = Math.max(alone.loopWorst, UNREMARKABLE_MS);
        expect(beside.loopWorst / held).toBeLessThan(MOST_TIMES_LATER);
      } finally {
        for (const abuse of begun) await abuse.stop();
      }
    },
  );
});
