import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { type Playground, podsDirectoryOf, preparePlayground, runOnPlayground } from '../story/playground.ts';
import { sweep } from './cleanup.ts';
import { LabError } from './errors.ts';
import { type LabNode, startNode } from './node.ts';
import { removeStaleFetches } from './packages.ts';
import { containerdSeries, containerdVersions, parseSeries } from './programs.ts';

// A reader that has gone (`cri-node | head`) must not keep the node from being torn down.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const say = (text: string) => process.stdout.write(`${text}\n`);

function signalled(): { signal: Promise<NodeJS.Signals>; release: () => void } {
  // A pending promise alone does not keep the process alive.
  const keeper = setInterval(() => {}, 60_000);
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, resolve);
  return { signal: promise, release: () => clearInterval(keeper) };
}

function describe({ root, endpoint, nriSocket, version, registries }: LabNode, made: Playground): string {
  const lines = [`containerd ${version} is ready`, `  endpoint    ${endpoint}`];
  if (nriSocket !== undefined) lines.push(`  NRI socket  ${nriSocket}`);
  for (const { kind, host, users } of [registries.anonymous, registries.htpasswd, registries.token]) {
    const names = Object.keys(users).join(', ');
    lines.push(`  registry    ${host}  ${kind}${names === '' ? '' : `, users ${names}`}`);
  }
  lines.push(`  passwords   ${join(root, 'registries/passwords.json')}`, `  folder      ${root}`);
  lines.push('', 'Images:', ...made.images.map((image) => `  ${image}`));
  lines.push(
    '',
    'Tenants:',
    ...made.tenants.map(({ letter, namespace, who }) => `  ${letter}  ${namespace}  ${who}`),
  );
  lines.push('', 'The agent for it, in another terminal:', agentCommand(made, endpoint, nriSocket));
  lines.push('', 'A pod on it:', `  scripts/cri-node run A ${made.images[0]}`);
  lines.push(`  scripts/cri-node run B ${made.images[0]} --pull-policy Never`);
  lines.push('', 'Ctrl-C ends it and removes everything.');
  return lines.join('\n');
}

function agentCommand(made: Playground, endpoint: string, nriSocket: string | undefined): string {
  const flags = [
    `--runtime-endpoint ${endpoint}`,
    `--state-dir ${join(made.root, 'agent-state')}`,
    `--pods-directory ${podsDirectoryOf(made)}`,
    `--registry-config-dir ${join(made.root, 'certs.d')}`,
    // Without NRI a socket that is not there, so that the agent does not take the machine's own.
    `--nri-socket ${nriSocket ?? join(made.root, 'no-nri.sock')}`,
    '--mode enforce',
  ];
  return `  npm run pullwarden -- agent ${flags.join(' \\\n    ')}`;
}

async function run(tenant: string, image: string, options: { pullPolicy: string }): Promise<void> {
  say(await runOnPlayground(tenant, image, options.pullPolicy));
}

async function runNode(options: { containerd: string; nri: boolean }): Promise<void> {
  const containerd = parseSeries(options.containerd);
  const { signal, release } = signalled();
  try {
    const node = await startNode({ containerd, nri: options.nri });
    try {
      say(describe(node, await preparePlayground(node)));
      say(`${await signal}: ending`);
    } finally {
      await node.stop();
    }
  } finally {
    release();
  }
}

async function listVersions(): Promise<void> {
  for (const { containerd, available, version, reason } of await containerdVersions()) {
    say(`${containerd.padEnd(4)} ${available ? `available  ${version}` : `not available: ${reason}`}`);
  }
}

async function clean(): Promise<void> {
  const removed = await sweep();
  await removeStaleFetches();
  say(removed.length === 0 ? 'nothing was left over' : `removed ${removed.join(', ')}`);
}

const program = new Command('cri-node')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`cri-node: ${text.replace(/^error: /, '')}`) })
  .description('A real node for demo and tests: containerd, three registries and a stand-in for kubelet.')
  .option('--containerd <version>', `release series: ${containerdSeries.join(', ')}`, '1.7')
  .option('--nri', 'let NRI plugins connect (1.7 and 2)', false)
  .action(runNode);
program
  .command('run <tenant> <image>')
  .description('start a pod of a tenant (A to E) on the node that is up')
  .option('--pull-policy <policy>', 'Always, IfNotPresent or Never', 'IfNotPresent')
  .action(run);
program
  .command('versions')
  .description('which containerd versions this machine can get')
  .action(listVersions);
program.command('clean').description('remove what crashed runs have left').action(clean);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Its message is written already; help is asked for or needed.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else if (error instanceof LabError) {
    process.stderr.write(`cri-node: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}
