#!/usr/bin/env node
import { Command, Option } from 'commander';
import { describeFailure } from './commands/failure.ts';
import { OUTPUT_FORMATS, type OutputFormat } from './commands/output.ts';
import { addConfigFlags, configFlags } from './config/flags.ts';
import type { CommandName } from './config/options.ts';
import { type Config, resolveConfig } from './config/resolve.ts';
import { printable } from './printable.ts';
import { packageVersion } from './version.ts';

type Flags = {
  readonly output: OutputFormat;
  readonly namespace?: string;
  readonly image?: string;
  readonly denied?: boolean;
  readonly since?: string;
  readonly limit?: string;
  readonly kubeletDir?: string;
};

/** Returns the exit code. */
type Run = (config: Config, flags: Flags, operands: readonly string[]) => Promise<number>;

/** Kubelet's --root-dir, unless it is told otherwise. */
const KUBELET_DIR = '/var/lib/kubelet';

let debug = false;

const program = new Command('pullwarden')
  .description('Lets no container on this node run an image that its pod could not have pulled itself.')
  .version(packageVersion(), '-V, --version')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageLine(text)) });

declare(program, 'agent', 'agent', 'run the node agent', async (config) => {
  const { runAgent } = await import('./commands/run-agent.ts');
  return runAgent(config);
});

declare(
  program,
  'check <pod>',
  'check',
  'say what would happen to a pod, and do nothing',
  async (config, flags, [pod = '']) => {
    const { runCheck } = await import('./commands/check.ts');
    return runCheck(config, { namespace: flags.namespace ?? 'default', pod, output: flags.output, print });
  },
)
  .option('-n, --namespace <namespace>', 'namespace of the pod', 'default')
  .addOption(outputOption());

declare(program, 'decisions', 'decisions', 'list the latest verdicts', async (config, flags) => {
  const { listDecisions } = await import('./commands/decisions.ts');
  return listDecisions(config, flags, { output: flags.output, print });
})
  .option('--denied', 'only containers that were denied')
  .option('--since <duration>', 'only the last, such as 30m or 24h')
  .option('-n, --namespace <namespace>', 'only this namespace')
  .option('--limit <number>', 'at most so many', '100')
  .addOption(outputOption());

declare(
  program,
  'doctor',
  'doctor',
  'say whether this node is ready for the agent',
  async (config, flags) => {
    const { runDoctor } = await import('./commands/doctor/run.ts');
    return runDoctor(config, { output: flags.output, print });
  },
).addOption(outputOption());

const records = program
  .command('records')
  .description('look at the records of who may use which image, and take them from or to kubelet');

declare(records, 'list', 'records', 'list all records', async (config, flags) => {
  const { listRecords } = await import('./commands/records/list-show-forget.ts');
  return listRecords(config, { output: flags.output, print });
}).addOption(outputOption());

declare(
  records,
  'show <imageRef>',
  'records',
  'show the record of one image id',
  async (config, flags, [imageRef = '']) => {
    const { showRecord } = await import('./commands/records/list-show-forget.ts');
    return showRecord(config, imageRef, { output: flags.output, print });
  },
).addOption(outputOption());

declare(
  records,
  'forget <imageRef>',
  'records',
  'forget an image, so that everyone is verified again',
  async (config, flags, [imageRef = '']) => {
    const { forgetRecord } = await import('./commands/records/list-show-forget.ts');
    return forgetRecord(config, imageRef, { image: flags.image, print });
  },
).option('--image <trimmedImage>', 'only under this name, without tag and digest');

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
    const config = resolveConfig({ flags: configFlags(command), env: process.env });
    debug = config.logLevel === 'debug';
    process.exitCode = await run(config, command.opts<Flags>(), command.args);
  });
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to write it').choices(OUTPUT_FORMATS).default('table');
}

function kubeletDirOption(): Option {
  return new Option('--kubelet-dir <path>', "kubelet's root directory, or the image_manager in it").default(
    KUBELET_DIR,
  );
}

function print(text: string): void {
  process.stdout.write(text);
}

/** Commander's `error: …`, with a suggestion perhaps, on one line in the form of all other errors. */
function usageLine(text: string): string {
  const words = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll('\n', ' ');
  return `pullwarden: usage: ${printable(words)}\n`;
}

function fail(error: unknown): void {
  const { text, exitCode } = describeFailure(error, debug);
  process.stderr.write(text);
  process.exit(exitCode);
}
