import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { openRecords } from '../../agent/wiring/open-records.ts';

const container = (id: string) => ({
  id,
  imageRef: `sha256:${'1'.repeat(64)}`,
  pod: { namespace: `team of ${id}`, name: 'p', uid: 'u' },
});

it('at the first sight of a node what ran has standing, and what was created just now has none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-first-sight-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { containers, standing, close } = await openRecords(
    join(folder, 'state'),
    pino({ level: 'silent' }),
    () => undefined,
  );
  onTestFinished(close);
  const hasStanding = (id: string) =>
    standing.has({ namespace: `team of ${id}`, imageRef: container(id).imageRef });

  // Events may tell of what is new before the list of what ran is there.
  containers.seen(container('new'), { preexisting: false });
  expect(containers.wasSeen('ran')).toBe(true);
  containers.seen(container('ran'), { preexisting: true });
  containers.firstListEnded();
  containers.seen(container('later'), { preexisting: true });

  expect(['ran', 'new', 'later'].map(hasStanding)).toEqual([true, false, false]);
  expect(['ran', 'new', 'unheard of'].map(containers.wasSeen)).toEqual([true, true, false]);
});
