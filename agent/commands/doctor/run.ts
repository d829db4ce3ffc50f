import type { Config } from '../../config/resolve.ts';
import { EXIT } from '../exit-code.ts';
import { type Column, type OutputFormat, type Print, printOutput } from '../output.ts';
import { toneOf } from '../terminal.ts';
import { checkNodeCredentials, type NodeCredentialsConfig } from './check-node-credentials.ts';
import { checkNri } from './check-nri.ts';
import { checkPods } from './check-pods.ts';
import { checkRegistries } from './check-registries.ts';
import { checkRuntime } from './check-runtime.ts';
import { checkState } from './check-state.ts';
import type { Finding } from './finding.ts';
import type { ProbeWanted } from './probe-plugins.ts';

const columns: readonly Column<Finding>[] = [
  { header: 'STATUS', value: (finding) => finding.status, tone: (finding) => toneOf(finding.status) },
  { header: 'CHECK', value: (finding) => finding.check },
  {
    header: 'DETAIL',
    maxLength: 1_000,
    wrap: true,
    value: ({ detail, advice }) => (advice === '' ? detail : `${detail} -> ${advice}`),
  },
];

export type DoctorOptions = {
  readonly output: OutputFormat;
  readonly print: Print;
  /** Runs credential provider plugins, which doctor does not do by itself. */
  readonly probe?: ProbeWanted;
};

/**
 * `doctor`: is this node ready for the agent? Changes nothing. Returns the exit code: 1 when anything would
 * keep the agent from its work, 0 otherwise, warnings included.
 */
export async function runDoctor(
  config: Pick<
    Config,
    'runtimeEndpoint' | 'stateDir' | 'podsDirectory' | 'kubeconfig' | 'nodeName' | 'enforcement' | 'nriSocket'
  > &
    NodeCredentialsConfig,
  { output, print, probe }: DoctorOptions,
): Promise<number> {
  const runtime = await checkRuntime(config.runtimeEndpoint);
  const findings = [
    ...runtime.findings,
    ...(await checkNri(config, runtime.version)),
    ...checkState(config.stateDir, Date.now()),
    ...checkRegistries(config.stateDir),
    await checkPods(config),
    ...(await checkNodeCredentials(config, probe)),
  ];
  printOutput(print, output, { data: findings, rows: findings, columns });
  return findings.some(({ status }) => status === 'failure') ? EXIT.failed : EXIT.ok;
}
