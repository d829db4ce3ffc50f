#!/usr/bin/env node
import { Command, Option } from 'commander';
import { parseAge } from './commands/age.ts';
import type { Cluster } from './commands/cluster/agents.ts';
import { kubectlCompletions } from './commands/cluster/completion.ts';
import { createKubectl } from './commands/cluster/kubectl.ts';
import { REPORT_FORMATS, type ReportFlags } from './commands/cluster/report.ts';
import { describeFailure, usageLine } from './commands/failure.ts';
import { readableHelp } from './commands/help.ts';
import { MAX_LIMIT } from './commands/limit.ts';
import { OUTPUT_FORMATS, type OutputFormat, type Print } from './commands/output.ts';
import { terminalOf } from './commands/terminal.ts';
import { CommandError } from './errors.ts';
import { packageVersion } from './version.ts';

/** `kubectl pullwarden`: asks the agents of a cluster through the user's own kubectl. */

type ClusterFlags = {
  readonly context?: string;
  readonly kubeconfig?: string;
  readonly agentNamespace: string;
  readonly parallel: string;
  readonly timeout: string;
};

const print: Print = Object.assign((text: string) => void process.stdout.write(text), {
  terminal: terminalOf(process.stdout, process.env),
});
const warn: Print = (text) => void process.stderr.write(text);

const program = readableHelp(new Command('kubectl-pullwarden'))
  .usage('COMMAND [options]')
  .description('Asks the Pullwarden agents of a cluster, through kubectl.')
  .version(packageVersion(), '-V, --version')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageLine(text)) });

clusterCommand('report')
  .description('what is denied, or would be, in the whole cluster, and how to mend it')
  .option('--since <duration>', 'how far back, such as 24h or 7d', '24h')
  .option('-n, --namespace <namespace>', 'only this namespace')
  .option('--limit <number>', 'verdicts to read from each agent, at most', '5000')
  .addOption(new Option('-o, --output <format>', 'how to write it').choices(REPORT_FORMATS).default('table'))
  .action(async (flags: ClusterFlags & Omit<ReportFlags, 'limit'> & { readonly limit: string }) => {
    const { runReport } = await import('./commands/cluster/report.ts');
    const limit = wholeNumber('--limit', flags.limit, MAX_LIMIT);
    process.exitCode = await runReport(clusterOf(flags), { ...flags, limit }, { print });
  });

clusterCommand('decisions')
  .argument('[pod]', 'only this pod')
  .description('the latest verdicts of all nodes')
  .option('--denied', 'only containers that were denied')
  .option('--since <duration>', 'only the last, such as 30m or 24h')
  .option('-n, --namespace <namespace>', 'only this namespace')
  .option('-A, --all-namespaces', 'all namespaces, which is the default')
  .option('-w, --watch', 'then go on and show what comes, until Ctrl-C')
  .option('--limit <number>', 'at most so many', '100')
  .addOption(outputOption())
  .action(
    async (
      pod: string | undefined,
      flags: ClusterFlags & {
        readonly denied?: boolean;
        readonly allNamespaces?: boolean;
        readonly watch?: boolean;
        readonly since?: string;
        readonly namespace?: string;
        readonly limit: string;
        readonly output: OutputFormat;
      },
    ) => {
      const { runClusterDecisions, watchClusterDecisions } = await import('./commands/cluster/decisions.ts');
      const { denied, since, namespace, allNamespaces, output, watch } = flags;
      if (allNamespaces && namespace !== undefined) {
        throw new CommandError('usage', '--namespace and --all-namespaces exclude each other');
      }
      const filter = [
        ...(denied ? ['--denied'] : []),
        ...(namespace === undefined ? [] : ['--namespace', namespace]),
        ...(pod === undefined ? [] : [pod]),
      ];
      const limit = wholeNumber('--limit', flags.limit, MAX_LIMIT);
      const options = { filter, since: sinceOf(since), limit, output, print, warn };
      if (watch) {
        // Ended by a signal, never by itself.
        await watchClusterDecisions(clusterOf(flags), { ...options, signal: new AbortController().signal });
      } else process.exitCode = await runClusterDecisions(clusterOf(flags), options);
    },
  );

clusterCommand('check')
  .argument('<pod>', 'NAME or pod/NAME')
  .description('what would happen to a pod, asked of the agent on its node')
  .option('-n, --namespace <namespace>', "namespace of the pod; the context's when left out")
  .option('--ask', 'ask registries where policy and record leave it open; nothing is pulled or written')
  .addOption(outputOption())
  .action(
    async (
      pod: string,
      flags: ClusterFlags & {
        readonly namespace?: string;
        readonly ask?: boolean;
        readonly output: OutputFormat;
      },
    ) => {
      const { runClusterCheck } = await import('./commands/cluster/check.ts');
      const subject = {
        pod,
        namespace: flags.namespace,
        passed: ['-o', flags.output, ...(flags.ask ? ['--ask'] : [])],
      };
      process.exitCode = await runClusterCheck(clusterOf(flags), subject, print);
    },
  );

clusterCommand('doctor')
  .description('what doctor warns of on any node')
  .addOption(outputOption())
  .action(async (flags: ClusterFlags & { readonly output: OutputFormat }) => {
    const { runClusterDoctor } = await import('./commands/cluster/doctor.ts');
    process.exitCode = await runClusterDoctor(clusterOf(flags), { output: flags.output, print, warn });
  });

program
  .command('__complete', { hidden: true })
  .argument('[words...]')
  .action((words: readonly string[]) => print(kubectlCompletions(program, words)));

// Ended in this way, and not by the signal itself, it takes along what it has started.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
process.once('SIGHUP', () => process.exit(129));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  fail(error);
});

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}

function clusterCommand(name: string): Command {
  return program
    .command(name)
    .option('--context <name>', "kubectl's context")
    .option('--kubeconfig <path>', "kubectl's configuration")
    .option('--agent-namespace <namespace>', 'where the agents are', 'pullwarden')
    .option('--parallel <number>', 'agents asked at once', '50')
    .option('--timeout <seconds>', 'how long to wait for one agent', '20');
}

function clusterOf(flags: ClusterFlags): Cluster {
  const timeoutMs = 1_000 * wholeNumber('--timeout', flags.timeout);
  // kubectl sets nothing that names itself, so it is the one in the path unless a variable says otherwise.
  const program = process.env.KUBECTL ?? 'kubectl';
  return {
    kubectl: createKubectl({ program, context: flags.context, kubeconfig: flags.kubeconfig, timeoutMs }),
    namespace: flags.agentNamespace,
    timeoutMs,
    parallel: wholeNumber('--parallel', flags.parallel),
    onProgress({ asked, silent, total }) {
      if (!process.stderr.isTTY) return;
      const tail = silent > 0 ? `, ${silent} without an answer` : '';
      // Written over itself, and gone when all were asked.
      process.stderr.write(asked === total ? '\r\u001b[K' : `\rasked ${asked} of ${total} agents${tail}`);
    },
  };
}

function wholeNumber(flag: string, text: string, most = 10_000): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value <= most) return value;
  const range = `it must be a whole number from 1 to ${most}`;
  throw new CommandError('usage', `${flag}: ${text} is not allowed, ${range}`);
}

/** Said here, before 200 agents are asked that all say the same. */
function sinceOf(text: string | undefined): string | undefined {
  if (text === undefined || parseAge(text) !== undefined) return text;
  throw new CommandError('usage', `--since: ${text} is not allowed, it must be a duration such as 24h or 5d`);
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to write it').choices(OUTPUT_FORMATS).default('table');
}

function fail(error: unknown): void {
  const { text, exitCode } = describeFailure(error, process.env.PULLWARDEN_LOG_LEVEL === 'debug');
  process.stderr.write(text);
  process.exit(exitCode);
}
