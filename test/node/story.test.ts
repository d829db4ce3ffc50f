import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { play, prepareStory, type Step, type StepResult } from '../../scripts/story/story.ts';
import { leftovers } from '../lab/leftovers.ts';
import { offers, openScene, type Scene } from './scene.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

/**
 * What each verdict costs the registry and its token server, by their own logs: equal on all containerd
 * versions.
 */
const COSTS: readonly (readonly [string, number, number])[] = [
  ['A pulls its private image and runs it', 2, 0],
  ['A runs a second container', 0, 0],
  ['A runs a third one with Never', 0, 0],
  ['B, without a secret, starts a container from it', 1, 0],
  ['B tries again with Never', 0, 0],
  ['C, with a wrong password, starts one', 1, 0],
  ['C tries again with Never', 0, 0],
  ['D, with another good secret, starts one', 1, 0],
  ['D runs a second container', 0, 0],
  ['A runs its image of the token registry', 2, 1],
  ['E, known there but without the right, starts one', 1, 1],
  ['E tries again with Never', 0, 0],
];

for (const { containerd, available, reason } of offers) {
  const title = `the tenants' story on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let scene: Scene;
    let steps: Step[];
    const results: StepResult[] = [];

    beforeAll(async () => {
      scene = await openScene(containerd);
      steps = await prepareStory(scene.node);
      await scene.startAgent('--mode', 'enforce');
    }, 180_000);

    afterAll(async () => {
      await scene.stop();
      expect(await leftovers(scene.node.root, [])).toEqual([]);
    }, 60_000);

    it.each(COSTS)(
      '%s: %i requests to the registry, %i to its token server',
      async (what, requests, tokens) => {
        const step = steps.find((candidate) => candidate.title === what);
        if (step === undefined) throw new Error(`the story has no step "${what}"`);
        const result = await play(step, scene.node, scene.agent(), scene.podsDirectory);
        results.push(result);
        expect(result).toMatchObject({
          verdict: step.promise.verdict,
          reason: step.promise.reason,
          running: step.promise.verdict === 'allowed',
          requestsOfAgent: requests,
          tokenRequestsOfAgent: tokens,
        });
      },
    );

    it('reports how long the containers that were refused have run', () => {
      const ranFor = results.flatMap(({ ranForMs }) => ranForMs ?? []).sort((a, b) => a - b);
      process.stdout.write(
        `containerd ${scene.node.version}: from start to stop ${ranFor.map((ms) => ms.toFixed(0)).join(', ')} ms\n`,
      );
      expect(ranFor).toHaveLength(6);
    });

    it('leaves no password anywhere: state directory, log, metrics, decisions, records, arguments, environment', async () => {
      const agent = scene.agent();
      const commands = [
        ['decisions', '-o', 'json', '--limit', '1000'],
        ['records', 'list', '-o', 'json'],
        ['records', 'list'],
      ].map((args) =>
        execFileSync(process.execPath, [main, ...args, '--state-dir', scene.stateDir], {
          encoding: 'latin1',
        }),
      );
      const files = await Promise.all(
        (await readdir(scene.stateDir)).map((name) => readFile(join(scene.stateDir, name), 'latin1')),
      );
      const ofProcess = await Promise.all(
        ['cmdline', 'environ'].map((name) => readFile(`/proc/${agent.pid}/${name}`, 'latin1')),
      );
      const { body } = await agent.get('/metrics');
      const everything = [...commands, ...files, ...ofProcess, body, agent.log()].join('\n');
      // What is searched must hold what it should hold, or finding nothing means nothing.
      for (const known of [
        'neverWithoutRecord',
        'SQLite format 3',
        'pullwarden_verdicts_total',
        '"msg":"verdict"',
      ]) {
        expect(everything).toContain(known);
      }
      for (const secret of secretsOf(steps)) expect(everything.includes(secret)).toBe(false);
    });

    it('ends in order when it is told to', async () => {
      expect(await scene.agent().stop()).toBe(0);
    });
  });
}

/** Every password of the story as it is, in base64, and as docker's auth field. */
function secretsOf(steps: readonly Step[]): string[] {
  const base64 = (text: string): string => Buffer.from(text).toString('base64').replaceAll('=', '');
  return steps.flatMap(({ tenant: { login } }) =>
    login ? [login.password, base64(login.password), base64(`${login.username}:${login.password}`)] : [],
  );
}
