#!/usr/bin/env node
import { Argument, Command, Option } from 'commander';
import { completionScript, SHELLS, type Shell } from './commands/completion.ts';
import { describeFailure, usageLine } from './commands/failure.ts';
import { readableHelp } from './commands/help.ts';
import { OUTPUT_FORMATS, type OutputFormat, type Print } from './commands/output.ts';
import { requireState } from './commands/state.ts';
import { terminalOf } from './commands/terminal.ts';
import { printVersion } from './commands/version.ts';
import { addConfigFlags, configFlags } from './config/flags.ts';
import type { CommandName } from './config/options.ts';
import { type Config, resolveConfig } from './config/resolve.ts';
import { packageVersion } from './version.ts';

type Flags = {
  readonly ask?: boolean;
  readonly output: OutputFormat;
  readonly probe?: string;
  readonly pod?: string;
  readonly namespace?: string;
  readonly image?: string;
  readonly secret?: string;
  readonly olderThan?: string;
  readonly dryRun?: boolean;
  readonly denied?: boolean;
  readonly since?: string;
  readonly limit?: string;
  readonly kubeletDir?: string;
  readonly allNamespaces?: boolean;
  readonly watch?: boolean;
  readonly endWithInput?: boolean;
};

/** Returns the exit code. `warnings` are of the configuration, one line each. */
type Run = (
  config: Config,
  flags: Flags,
  operands: readonly string[],
  warnings: readonly string[],
) => Promise<number>;

/** Kubelet's --root-dir, unless it is set otherwise. */
const KUBELET_DIR = '/var/lib/kubelet';

let debug = false;

const print: Print = Object.assign((text: string) => void process.stdout.write(text), {
  terminal: terminalOf(process.stdout, process.env),
});

const program = readableHelp(new Command('pullwarden'))
  .description('Lets no container on this node run an image that its pod could not have pulled itself.')
  .version(packageVersion(), '-V, --version')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageLine(text)) });

declare(program, 'agent', 'agent', 'run the node agent', async (config, _flags, _operands, warnings) => {
  const { runAgent } = await import('./commands/run-agent.ts');
  return runAgent(config, warnings);
});

declare(
  program,
  'check <pod>',
  'check',
  'say what would happen to a pod, and do nothing',
  async (config, flags, [pod = '']) => {
    const { runCheck } = await import('./commands/check.ts');
    const { namespace = 'default', ask = false, output } = flags;
    return runCheck(config, { namespace, pod, ask, output, print });
  },
)
  .option('-n, --namespace <namespace>', 'namespace of the pod', 'default')
  .option('--ask', 'ask registries where policy and record leave it open; nothing is pulled or written')
  .addOption(outputOption());

declare(
  program,
  'decisions [pod]',
  'decisions',
  'list the latest verdicts, or those of one pod',
  async (config, flags, [pod]) => {
    const { listDecisions } = await import('./commands/decisions.ts');
    const signal = flags.endWithInput ? { signal: endOfInput() } : {};
    return listDecisions(config, flags, { output: flags.output, print, pod, ...signal });
  },
)
  .option('--denied', 'only containers that were denied')
  .option('--since <duration>', 'only the last, such as 30m, 24h or 5d')
  .option('-n, --namespace <namespace>', 'only this namespace')
  .option('-A, --all-namespaces', 'all namespaces, which is the default')
  .option('-w, --watch', 'then go on and show what comes')
  .option('--end-with-input', 'with --watch: until standard input ends, as where it runs in a pod')
  .option('--limit <number>', 'at most so many', '100')
  .addOption(outputOption());

declare(
  program,
  'doctor',
  'doctor',
  'say whether this node is ready for the agent',
  async (config, flags) => {
    const { runDoctor } = await import('./commands/doctor/run.ts');
    const { output, probe, pod } = flags;
    return runDoctor(config, { output, print, ...(probe !== undefined && { probe: { image: probe, pod } }) });
  },
)
  .option('--probe <image>', 'run the credential provider plugins for this image, and say what came of it')
  .option('--pod <namespace/name>', 'with --probe: as for this pod, with its service account')
  .addOption(outputOption());

const records = program
  .command('records')
  .description('look at the records of who may use which image, and take them from or to kubelet');

declare(records, 'list', 'records', 'list all records', async (config, flags) => {
  requireState(config.stateDir, 'records.db');
  const { listRecords } = await import('./commands/records/list-show-forget.ts');
  return listRecords(config, { output: flags.output, print });
}).addOption(outputOption());

declare(
  records,
  'show <image>',
  'recordsShow',
  'show the record of one image: an image id, at least 4 digits of it, or NAME:TAG',
  async (config, flags, [image = '']) => {
    requireState(config.stateDir, 'records.db');
    const { showRecord } = await import('./commands/records/list-show-forget.ts');
    const { contentOnNode } = await import('./commands/records/content-on-node.ts');
    const contentOf = (name: string) => contentOnNode(config.runtimeEndpoint, name);
    return showRecord(config, image, contentOf, { output: flags.output, print });
  },
).addOption(outputOption());

declare(
  records,
  'forget [imageRef]',
  'records',
  'forget an image, or what the options mean, so that everyone is verified again',
  async (config, flags, [imageRef]) => {
    if (imageRef === undefined) {
      const { forgetGrants } = await import('./commands/records/forget-grants.ts');
      return forgetGrants(config, flags, { output: flags.output, print, now: Date.now() });
    }
    const { forgetRecord } = await import('./commands/records/list-show-forget.ts');
    return forgetRecord(config, imageRef, { image: flags.image, print });
  },
)
  .option('--image <name>', 'only under this name; its tag and digest do not matter')
  .option(
    '--namespace <name>',
    'without an image id: what secrets and service accounts of this namespace are good for',
  )
  .option('--secret <namespace/name>', 'without an image id: what this secret is good for')
  .option('--older-than <duration>', 'without an image id: what no registry has granted for so long')
  .option('--dry-run', 'without an image id: only say what would be forgotten')
  .addOption(outputOption());

declare(
  records,
  'import',
  'records',
  "merge kubelet's own image pull records into these",
  async (config, flags) => {
    const { importRecords } = await import('./commands/records/import.ts');
    return importRecords(config, flags.kubeletDir ?? KUBELET_DIR, { output: flags.output, print });
  },
)
  .addOption(kubeletDirOption())
  .addOption(outputOption());

declare(
  records,
  'export',
  'recordsExport',
  'write these records where kubelet looks for its own',
  async (config, flags) => {
    const { exportRecords } = await import('./commands/records/export.ts');
    return exportRecords(config, flags.kubeletDir ?? KUBELET_DIR, { output: flags.output, print });
  },
)
  .addOption(kubeletDirOption())
  .addOption(outputOption());

const fuse = program
  .command('fuse')
  .description('look at the fuse, which keeps a mistake from stopping a whole node, or close it');

declare(fuse, 'status', 'fuse', 'say whether the fuse is open, and what it counts', async (config, flags) => {
  requireState(config.stateDir, 'records.db');
  const { fuseStatus } = await import('./commands/fuse/status.ts');
  return fuseStatus(config, { output: flags.output, print, now: Date.now() });
}).addOption(outputOption());

declare(
  fuse,
  'reset',
  'fuse',
  'forget what the fuse has counted, so that it closes and what it let run is judged again',
  async (config) => {
    requireState(config.stateDir, 'records.db');
    const { resetFuse } = await import('./commands/fuse/reset.ts');
    return resetFuse(config, { print, now: Date.now() });
  },
);

program
  .command('version')
  .description('print the version, the commit and the version of Node')
  .addOption(outputOption())
  .action((flags: { readonly output: OutputFormat }) => {
    process.exitCode = printVersion(process.env.PULLWARDEN_REVISION, { output: flags.output, print });
  });

program
  .command('completion')
  .description('print a completion script, as in `source <(pullwarden completion bash)`')
  .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
  .action((shell: Shell) => print(completionScript(shell, program)));

process.on('uncaughtException', fail);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read the output has seen enough (`| head`).
  if (error.code === 'EPIPE') process.exit();
  fail(error);
});

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}

function declare(parent: Command, usage: string, name: CommandName, description: string, run: Run): Command {
  const command = addConfigFlags(parent.command(usage).description(description), name);
  return command.action(async () => {
    const warnings: string[] = [];
    const config = resolveConfig({
      flags: configFlags(command),
      env: process.env,
      onUnknownVariable: (message) => warnings.push(message),
    });
    debug = config.logLevel === 'debug';
    // The agent's standard error is its log, so it says them there.
    if (name !== 'agent')
      for (const warning of warnings) process.stderr.write(`pullwarden: warning: ${warning}\n`);
    process.exitCode = await run(config, command.opts<Flags>(), command.args, warnings);
  });
}

/** A program in a pod is told in no other way that nobody listens any more (`kubectl exec --stdin`). */
function endOfInput(): AbortSignal {
  const ended = new AbortController();
  const end = () => ended.abort();
  process.stdin.once('end', end).once('error', end).resume();
  return ended.signal;
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to write it').choices(OUTPUT_FORMATS).default('table');
}

function kubeletDirOption(): Option {
  return new Option('--kubelet-dir <path>', "kubelet's root directory, or the image_manager in it").default(
    KUBELET_DIR,
  );
}

function fail(error: unknown): void {
  const { text, exitCode } = describeFailure(error, debug);
  process.stderr.write(text);
  process.exit(exitCode);
}
