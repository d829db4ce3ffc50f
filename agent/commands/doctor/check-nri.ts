import { statSync } from 'node:fs';
import { connect } from 'node:net';
import type { Config } from '../../config/resolve.ts';
import type { RuntimeVersion } from '../../runtime/runtime.ts';
import { type Finding, ok, warning } from './finding.ts';

const CONNECT_TIMEOUT_MS = 1_000;
const CONTAINERD_SECTION = '[plugins."io.containerd.nri.v1.nri"]';

/**
 * A veto before a container exists needs the runtime's NRI; without it containers are stopped after they
 * began. `runtime` is what CRI says it is; undefined when it did not answer.
 */
export async function checkNri(
  { enforcement, nriSocket }: Pick<Config, 'enforcement' | 'nriSocket'>,
  runtime: RuntimeVersion | undefined,
): Promise<Finding[]> {
  if (enforcement === 'stop') return [ok('nri', 'not used: --enforcement stop')];
  const problem = await problemOf(nriSocket);
  if (problem !== undefined) return [warning('nri', problem, switchingOn(runtime))];
  const registration = checkRegistration(runtime);
  return [
    ok('nri', `${nriSocket} answers`),
    ...(registration ? [registration] : []),
    ok('nri required', requiring(runtime)),
  ];
}

async function problemOf(socketPath: string): Promise<string | undefined> {
  if (!(statSync(socketPath, { throwIfNoEntry: false })?.isSocket() ?? false)) {
    return `no socket at ${socketPath}`;
  }
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const settle = (problem: string | undefined) => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle(`nobody answers on ${socketPath}`));
    socket.on('connect', () => settle(undefined));
    socket.on('error', () => settle(`nobody answers on ${socketPath}`));
  });
}

/** How to switch NRI on (containerd, docs/NRI.md; CRI-O, crio.conf(5), table crio.nri). */
function switchingOn(runtime: RuntimeVersion | undefined): string {
  const otherwise = 'denied containers are stopped right after they were created until then';
  const place = 'see whether --nri-socket is right and its folder mounted';
  switch (runtime?.name) {
    case 'containerd':
      if (isBefore(runtime, 1, 7)) return `containerd 1.7 or newer has NRI; ${otherwise}`;
      return isBefore(runtime, 2, 0)
        ? `off by default in containerd 1.7: in its config.toml set disable = false in ${CONTAINERD_SECTION} ` +
            `and restart it; ${otherwise}`
        : `on by default in containerd 2: ${place}, and that config.toml does not say disable = true in ` +
            `${CONTAINERD_SECTION}; ${otherwise}`;
    case 'cri-o':
      return `set enable_nri = true in [crio.nri] of crio.conf and restart CRI-O; ${place}; ${otherwise}`;
    default:
      return `switch NRI on in the runtime's configuration; ${place}; ${otherwise}`;
  }
}

/**
 * Containerd before its pull requests 11326 and 11329 goes on creating containers while a plugin registers.
 */
function checkRegistration(runtime: RuntimeVersion | undefined): Finding | undefined {
  if (runtime?.name !== 'containerd') return undefined;
  const isRacy = isBefore(runtime, 1, 7, 26) || (!isBefore(runtime, 2, 0) && isBefore(runtime, 2, 0, 3));
  if (!isRacy) return undefined;
  return warning(
    'nri registration',
    'a container that is created in the moment in which a plugin registers is not asked about by this containerd',
    'it is stopped afterwards instead; containerd 1.7.26, 2.0.3 and newer ask',
  );
}

/**
 * NRI fails open; the default validator of NRI 0.10 and newer can make it fail closed (containerd/nri,
 * plugins/default-validator).
 */
function requiring(runtime: RuntimeVersion | undefined): string {
  const open = 'while the agent is away, containers are created without being asked about, and stopped later';
  if (runtime?.name === 'containerd' && isBefore(runtime, 2, 2)) {
    return `${open}; containerd 2.2 and newer can require the plugin instead`;
  }
  return (
    `${open}. To have none created instead: enable = true, required_plugins = ["pullwarden"] and ` +
    `tolerate_missing_plugins_annotation = "KEY" in [plugins."io.containerd.nri.v1.nri".default_validator] ` +
    `(containerd 2.2 and newer), and the annotation KEY: "true" on the pods that must start without the ` +
    `agent, its own first. The price: without the agent nothing else starts on the node, and whoever may set ` +
    `that annotation is not asked about while it is away (docs/operating.md)`
  );
}

function isBefore({ version }: RuntimeVersion, ...release: readonly number[]): boolean {
  const [, ...found] = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  for (const [position, wanted] of release.entries()) {
    const part = Number(found[position] ?? 0);
    if (part !== wanted) return part < wanted;
  }
  return false;
}
