import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sweep } from '../lab/cleanup.ts';
import { LabError } from '../lab/errors.ts';
import { type LabNode, startNode } from '../lab/node.ts';
import { type ContainerdSeries, containerdVersions, parseSeries } from '../lab/programs.ts';
import { startAgent } from './agent-process.ts';
import { play, prepareStory, type StepResult } from './story.ts';

/** The tenants' story, told line by line as it happens: scripts/demo [1.6|1.7|2] */

const agentProgram = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

async function chooseContainerd(asked: string | undefined): Promise<ContainerdSeries> {
  if (asked !== undefined) return parseSeries(asked);
  const versions = await containerdVersions();
  const best = ['2', '1.7', '1.6']
    .map(parseSeries)
    .find((series) => versions.some((v) => v.containerd === series && v.available));
  if (best === undefined) throw new Error(`no containerd can be had here: ${versions[0]?.reason ?? ''}`);
  return best;
}

function line({
  step,
  verdict,
  reason,
  running,
  requestsOfAgent,
  tokenRequestsOfAgent,
  ranForMs,
  kept,
}: StepResult): string {
  const end = running ? 'runs' : `stopped after ${ranForMs?.toFixed(0)} ms`;
  const tokens = step.registry.kind === 'token' ? ` + ${tokenRequestsOfAgent} to the token server` : '';
  return [
    `${kept ? 'ok  ' : 'NOT '} ${step.title}`,
    `       ${step.tenant.letter} ${step.tenant.who}`,
    `       pull policy ${step.imagePullPolicy}: ${verdict} (${reason}), the container ${end}; the verdict cost the registry ${requestsOfAgent} request(s)${tokens}`,
  ].join('\n');
}

/** Rejects at the first Ctrl-C, so that whatever was started is cleared away before this process ends. */
function interruption(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => reject(new LabError(`${name}: clearing everything away`)));
  }
  // It may come before anybody waits for it.
  promise.catch(() => {});
  return promise;
}

async function tellStory(asked: string | undefined): Promise<boolean> {
  const interrupted = interruption();
  await sweep();
  const series = await chooseContainerd(asked);
  say(`Bringing up a node: containerd ${series}, three registries, images made on the spot ...`);
  const node = await startNode({ containerd: series });
  try {
    return await Promise.race([tellOn(node), interrupted]);
  } finally {
    await node.stop();
  }
}

async function tellOn(node: LabNode): Promise<boolean> {
  const state = join(node.root, 'agent-state');
  const podsDirectory = join(node.root, 'agent-pods');
  await mkdir(podsDirectory);
  const steps = await prepareStory(node);
  const flags = [
    '--runtime-endpoint',
    node.endpoint,
    '--state-dir',
    state,
    '--pods-directory',
    podsDirectory,
  ];
  const agent = startAgent([...flags, '--mode', 'enforce']);
  await agent.ready();
  say(`containerd ${node.version} runs, and the agent watches it in enforce mode.\n`);

  const results: StepResult[] = [];
  for (const step of steps) {
    const result = await play(step, node, agent, podsDirectory);
    results.push(result);
    say(line(result));
  }

  say('\nThe records (no credentials, only whose secret was good for what):');
  say(
    execFileSync(process.execPath, [agentProgram, 'records', 'list', '--state-dir', state], {
      encoding: 'utf8',
    }),
  );
  say('The verdicts, as Prometheus would scrape them:');
  const { body } = await agent.get('/metrics');
  say(
    body
      .split('\n')
      .filter((text) => /^pullwarden_(verdicts|enforcements)_total.* [1-9]/.test(text))
      .join('\n'),
  );
  await agent.stop();

  const broken = results.filter(({ kept }) => !kept);
  say(`\n${results.length - broken.length} of ${results.length} steps went as promised.`);
  return broken.length === 0;
}

const USAGE = 'usage: scripts/demo [1.6|1.7|2]';

async function main(asked: string | undefined): Promise<number> {
  if (asked === '--help' || asked === '-h') {
    say(USAGE);
    return 0;
  }
  if (asked !== undefined && !/^(1\.6|1\.7|2)$/.test(asked)) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  try {
    return (await tellStory(asked)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    process.stderr.write(`demo: ${error.message}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv[2]);
