import { hostname } from 'node:os';
import { VERIFICATION_POLICIES } from '../access/record/policy.ts';
import { EndpointError } from '../errors.ts';
import { parseEndpoint } from '../runtime/endpoint.ts';
import {
  duration,
  list,
  listenAddress,
  type OptionType,
  oneOf,
  optional,
  share,
  text,
  wholeNumber,
} from './types.ts';

/** Subcommands that take options of the configuration. */
export type CommandName =
  | 'agent'
  | 'check'
  | 'records'
  | 'recordsShow'
  | 'recordsExport'
  | 'decisions'
  | 'doctor'
  | 'fuse';

/** One option; its name is the key of the table, in camelCase, as in YAML. */
type Option<Value> = {
  readonly type: OptionType<Value>;
  /** In the words of a flag; undefined where leaving it out means something of its own. */
  readonly default: string | undefined;
  /** What to show as the default where the text itself would not do. */
  readonly defaultShown?: string;
  readonly description: string;
  readonly commands: readonly CommandName[];
  /** Set by the manifests and the image, not by people: not in help and docs/configuration.md. */
  readonly hidden?: true;
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const ALL: readonly CommandName[] = [
  'agent',
  'check',
  'records',
  'recordsShow',
  'recordsExport',
  'decisions',
  'doctor',
  'fuse',
];
const path = text('PATH', 'a path', (value) => value !== '');
const namespaces = list('NAMESPACES', 'namespace names, in which * stands for any characters', (item) =>
  /^(?!-)[a-z0-9*-]{1,63}(?<!-)$/.test(item),
);
const anyName = text('NAME', 'a name of up to 253 characters without spaces', (value) =>
  /^\S{1,253}$/.test(value),
);
/** Kubelet registers a node whose host name has capitals in lower case (component-helpers, node/util.GetHostname). */
const nodeName = { ...anyName, schema: anyName.schema.transform((name) => name.toLowerCase()) };
const endpoint = text('ENDPOINT', 'unix:///path or /path', (value) => isEndpoint(value));

/**
 * Every option there is. Flags, environment variables, YAML keys, the type `Config`, the help texts and the
 * table in docs/configuration.md come from here.
 */
export const OPTIONS = {
  config: {
    type: optional(path),
    default: undefined,
    description: 'YAML file with any of the options below',
    commands: ALL,
  },
  runtimeEndpoint: {
    type: optional(endpoint),
    default: undefined,
    defaultShown: 'the first socket found',
    description: "the container runtime's CRI socket",
    commands: ['agent', 'check', 'recordsShow', 'doctor'],
  },
  stateDir: {
    type: path,
    default: '/var/lib/pullwarden',
    description: 'folder of the databases and the key, for the owner only',
    commands: ALL,
  },
  podsDirectory: {
    type: optional(path),
    default: undefined,
    defaultShown: 'the API server',
    description:
      'folder of manifests (Pods, Secrets, ServiceAccounts) to take pods and their secrets from, ' +
      'instead of the API server',
    commands: ['agent', 'check', 'recordsExport', 'doctor'],
  },
  kubeconfig: {
    type: optional(path),
    default: undefined,
    defaultShown: 'the ServiceAccount of the pod, or else KUBECONFIG',
    description:
      "how to reach the API server, and as whom; kubelet's own makes the agent ask with the node's identity",
    commands: ['agent', 'check', 'recordsExport', 'doctor'],
  },
  nodeName: {
    type: nodeName,
    default: hostname().trim().toLowerCase(),
    defaultShown: "the machine's host name, in lower case",
    description: 'name of this node at the API server, in logs and metrics',
    commands: ['agent', 'check', 'recordsExport', 'doctor'],
  },
  mode: {
    type: oneOf(['audit', 'enforce']),
    default: 'audit',
    description: '`audit` only reports; `enforce` stops containers that are denied',
    commands: ['agent'],
  },
  enforcement: {
    type: oneOf(['auto', 'veto', 'stop']),
    default: 'auto',
    description:
      'how `enforce` does it: `stop` after a container was created, `veto` before it is (through NRI, ' +
      'with stop behind it), `auto` veto where the NRI socket is there',
    commands: ['agent', 'doctor'],
  },
  nriSocket: {
    type: path,
    default: '/var/run/nri/nri.sock',
    description: "the container runtime's NRI socket",
    commands: ['agent', 'doctor'],
  },
  nriIndex: {
    type: text('INDEX', 'two digits', (value) => /^[0-9]{2}$/.test(value)),
    default: '90',
    description: 'when the runtime asks this plugin among others: late, so that it sees what they did',
    commands: ['agent'],
  },
  onUnverifiable: {
    type: oneOf(['deny', 'allow']),
    default: 'deny',
    description:
      'what happens to a new container when nobody can be asked; one that already ran is never stopped for it',
    commands: ['agent'],
  },
  unmanaged: {
    type: oneOf(['audit', 'deny']),
    default: 'audit',
    description: 'what happens to a container of no known pod',
    commands: ['agent'],
  },
  enforceNamespaces: {
    type: namespaces,
    default: '*',
    description: 'namespaces that `enforce` is for, by name or with `*`; in all others it is `audit`',
    commands: ['agent'],
  },
  exemptNamespaces: {
    type: namespaces,
    default: 'kube-system',
    description:
      'namespaces whose containers are judged but never stopped, whatever `enforceNamespaces` says',
    commands: ['agent'],
  },
  verificationPolicy: {
    type: oneOf(VERIFICATION_POLICIES),
    default: 'NeverVerifyPreloadedImages',
    description: "which images are open to every pod; kubelet's `imagePullCredentialsVerificationPolicy`",
    commands: ['agent', 'check'],
  },
  verificationAllowlist: {
    type: list('PATTERNS', 'image patterns (repository, or a path before /*)', () => true),
    default: '',
    description:
      "images open to every pod, with `NeverVerifyAllowlistedImages` only; kubelet's " +
      '`preloadedImagesVerificationAllowlist`',
    commands: ['agent', 'check'],
  },
  existingImages: {
    type: oneOf(['preloaded', 'verify']),
    default: 'preloaded',
    description: 'whether images that are on the node when the agent first runs count as preloaded',
    commands: ['agent'],
  },
  staticPods: {
    type: optional(path),
    default: undefined,
    description:
      "folder of kubelet's static pods (its `staticPodPath`), to be known besides those of the API server",
    commands: ['agent', 'check', 'doctor'],
  },
  kubeletRootDir: {
    type: path,
    default: '/var/lib/kubelet',
    description: "kubelet's `--root-dir`, where it looks for the docker config file of the node",
    commands: ['agent', 'check', 'doctor'],
  },
  dockerConfig: {
    type: list('FILES', 'files', (item) => item.startsWith('/')),
    default: '',
    description: "further docker config files whose credentials are the node's",
    commands: ['agent', 'check', 'doctor'],
  },
  imageCredentialProviderConfig: {
    type: optional(path),
    default: undefined,
    description: "kubelet's `--image-credential-provider-config`: a file or a folder",
    commands: ['agent', 'check', 'doctor'],
  },
  imageCredentialProviderBinDir: {
    type: optional(path),
    default: undefined,
    description: "kubelet's `--image-credential-provider-bin-dir`, with the executables of the providers",
    commands: ['agent', 'check', 'doctor'],
  },
  credentialProviderTimeout: {
    type: duration(1_000, 60_000),
    default: '10s',
    description: 'longest time for one run of a credential provider plugin',
    commands: ['agent', 'check', 'doctor'],
  },
  proof: {
    type: oneOf(['pull', 'registry']),
    default: 'pull',
    description:
      'who is asked whether a pod may pull an image: `pull` the registry itself, and the runtime where ' +
      'that leaves something open; `registry` nobody but the registry, so that nothing is ever pulled',
    commands: ['agent', 'check'],
  },
  runtimeGrants: {
    type: oneOf(['allow', 'deny']),
    default: 'allow',
    description:
      "whether a pull without any of the pod's credentials counts where the registry itself does not " +
      "grant it: a mirror that asks nobody, or credentials in the runtime's own configuration",
    commands: ['agent', 'check'],
  },
  registryConfigDir: {
    type: list('FOLDERS', 'folders', (item) => item.startsWith('/')),
    default: '/etc/containerd/certs.d',
    description:
      "folders of the runtime's hosts.toml files, read to know where a registry is and which CA it " +
      'has; never for a mirror',
    commands: ['agent', 'check', 'doctor'],
  },
  registriesConf: {
    type: path,
    default: '/etc/containers/registries.conf',
    description: "CRI-O's registries.conf (and registries.conf.d beside it), read for the same",
    commands: ['agent', 'check', 'doctor'],
  },
  authoritativeMirrors: {
    type: list('HOSTS', 'hosts', (item) => /^[^/\s]+$/.test(item)),
    default: '',
    description:
      'mirrors whose word counts like that of the registry they mirror, for nodes that reach nothing else',
    commands: ['agent', 'check'],
  },
  bytes: {
    type: oneOf(['shown', 'always', 'off']),
    default: 'shown',
    description:
      'whether a registry that grants an image must have shown that it holds the content: `shown` yes, ' +
      'and what it brought new to the node counts; `always` what it brought does not count; `off` no',
    commands: ['agent'],
  },
  trustedRegistries: {
    type: list('REPOSITORIES', 'registries, or repositories below them', (item) => /^[^\s]+$/.test(item)),
    default: '',
    description:
      'registries that are believed to hold what they grant, without being asked to show it: those ' +
      'whose tenants cannot alter what they answer',
    commands: ['agent'],
  },
  nodeCredentials: {
    type: list('REPOSITORIES', 'registries, or repositories below them', (item) => /^[^\s]+$/.test(item)),
    default: '',
    description:
      'what the node itself may pull, so that every pod may: where its credentials cannot be used by the agent',
    commands: ['agent', 'check'],
  },
  rotatedSecrets: {
    type: oneOf(['trust', 'verify', 'deny']),
    default: 'verify',
    description:
      'a secret that was good for an image and was changed since: `trust` it as kubelet does, let its ' +
      'pods run and `verify` it in the background, or `deny` until it is verified',
    commands: ['agent', 'check'],
  },
  recordTtl: {
    type: duration(0, 3_650 * DAY),
    default: '0',
    description:
      'when a grant on record is so old that the registry is asked about it again, in the background ' +
      'and before this time is over; until it answers, the record counts; `0` never, as kubelet',
    commands: ['agent'],
  },
  reverifyRunning: {
    type: duration(0, 3_650 * DAY),
    default: '0',
    description: 'how often the registry is asked again about each container that runs; `0` never',
    commands: ['agent'],
  },
  revokeRunning: {
    type: oneOf(['report', 'stop']),
    default: 'report',
    description:
      'what happens to a container that runs when the registry refuses its image now: `report` it, or ' +
      'in `enforce` also `stop` it',
    commands: ['agent'],
  },
  backgroundQuestions: {
    type: wholeNumber(1, 6_000),
    default: '60',
    description: 'questions a minute, at most, that `recordTtl` and `reverifyRunning` ask registries',
    commands: ['agent'],
  },
  pullTimeout: {
    type: duration(1_000, HOUR),
    default: '5s',
    description: 'longest time for a pull of content that is present, by which the runtime is asked',
    commands: ['agent', 'check'],
  },
  maxParallelPulls: {
    type: wholeNumber(1, 64),
    default: '4',
    description: 'questions to one registry at once',
    commands: ['agent', 'check'],
  },
  existingContainersDelay: {
    type: duration(0, DAY),
    default: '30s',
    description: 'containers that ran before the agent are judged after a random delay of up to this',
    commands: ['agent'],
  },
  relistInterval: {
    type: duration(100, HOUR),
    default: '30s',
    description: 'how often to list all containers besides following events',
    commands: ['agent'],
  },
  pollInterval: {
    type: duration(100, HOUR),
    default: '10s',
    description: 'how often to list them where the runtime has no events',
    commands: ['agent'],
  },
  fuseCount: {
    type: wholeNumber(0, 1_000_000),
    default: '10',
    description: 'the fuse opens only when more containers than this would be stopped within its window',
    commands: ['agent', 'fuse'],
  },
  fuseShare: {
    type: share(),
    default: '0.2',
    description: 'and only when they are more than this share of all containers on the node',
    commands: ['agent', 'fuse'],
  },
  fuseNamespaces: {
    type: wholeNumber(1, 1_000_000),
    default: '2',
    description: 'and only when they belong to at least this many namespaces',
    commands: ['agent', 'fuse'],
  },
  fuseWindow: {
    type: duration(1_000, DAY),
    default: '10m',
    description: 'how far back the fuse counts; it closes when what it counts within this no longer opens it',
    commands: ['agent', 'fuse'],
  },
  listenAddress: {
    type: listenAddress(),
    default: '127.0.0.1:9468',
    description: 'where /metrics, /livez and /readyz are served; port 0 is any that is free',
    commands: ['agent', 'doctor'],
  },
  logLevel: {
    type: oneOf(['error', 'warn', 'info', 'debug']),
    default: 'info',
    description: 'least level that is logged; `debug` shows stack traces',
    commands: ALL,
  },
  logFormat: {
    type: oneOf(['auto', 'json', 'pretty']),
    default: 'auto',
    description: '`auto` is pretty on a terminal and JSON lines elsewhere',
    commands: ['agent'],
  },
  decisionsRetention: {
    type: duration(HOUR, 3_650 * DAY),
    default: '720h',
    description: 'how long verdicts are kept in the audit trail',
    commands: ['agent'],
  },
  decisionsMaxRows: {
    type: wholeNumber(100, 10_000_000),
    default: '100000',
    description: 'how many verdicts are kept at most',
    commands: ['agent'],
  },
  podNamespace: hidden("namespace of the agent's own pod"),
  podName: hidden("name of the agent's own pod"),
  podUid: hidden("uid of the agent's own pod, which is never stopped"),
  revision: hidden('the commit that this build was made from'),
} as const satisfies Record<string, Option<unknown>>;

export type OptionName = keyof typeof OPTIONS;

/** The validated configuration. Durations are milliseconds. */
export type Config = {
  readonly [Name in OptionName]: (typeof OPTIONS)[Name]['type'] extends OptionType<infer Value>
    ? Value
    : never;
};

/** The same table for code that goes through all of it. */
export const OPTION_LIST: readonly (Option<unknown> & { readonly name: OptionName })[] = optionNames().map(
  (name) => ({
    name,
    ...OPTIONS[name],
  }),
);

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

/** runtimeEndpoint -> --runtime-endpoint */
export function flagOf(name: OptionName): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** runtimeEndpoint -> PULLWARDEN_RUNTIME_ENDPOINT */
export function variableOf(name: OptionName): string {
  return `PULLWARDEN_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function optionNames(): OptionName[] {
  return Object.keys(OPTIONS).filter(isOptionName);
}

function hidden(description: string): Option<string | undefined> & { readonly hidden: true } {
  const type = text('TEXT', 'text of up to 253 characters', (value) => value.length <= 253);
  return { type: optional(type), default: undefined, description, commands: ['agent'], hidden: true };
}

function isEndpoint(value: string): boolean {
  try {
    parseEndpoint(value);
    return true;
  } catch (error) {
    if (error instanceof EndpointError) return false;
    throw error;
  }
}
