import type { OptionName } from './options.ts';

/** The headings under which `pullwarden agent --help` shows the options, in this order. */
const GROUPS: readonly (readonly [heading: string, options: readonly string[]])[] = [
  ['This node', ['config', 'runtimeEndpoint', 'stateDir', 'nodeName']],
  ['Pods and their credentials', ['podsDirectory', 'staticPods', 'kubeconfig']],
  [
    'What is enforced',
    ['mode', 'enforcement', 'enforceNamespaces', 'exemptNamespaces', 'onUnverifiable', 'unmanaged'],
  ],
  ['The veto', ['nriSocket', 'nriIndex']],
  [
    'What is verified',
    ['verificationPolicy', 'verificationAllowlist', 'existingImages', 'rotatedSecrets', 'trustedRegistries'],
  ],
  [
    "The node's own credentials",
    [
      'kubeletRootDir',
      'dockerConfig',
      'imageCredentialProviderConfig',
      'imageCredentialProviderBinDir',
      'credentialProviderTimeout',
      'nodeCredentials',
    ],
  ],
  [
    'Asking registries',
    [
      ...['proof', 'bytes', 'runtimeGrants', 'registryConfigDir', 'registriesConf', 'authoritativeMirrors'],
      ...['pullTimeout', 'maxParallelPulls', 'recordTtl', 'reverifyRunning', 'revokeRunning'],
      'backgroundQuestions',
    ],
  ],
  ['Finding containers', ['existingContainersDelay', 'relistInterval', 'pollInterval']],
  ['The fuse', ['fuseCount', 'fuseShare', 'fuseNamespaces', 'fuseWindow']],
  ['Telemetry', ['listenAddress', 'logLevel', 'logFormat', 'decisionsRetention', 'decisionsMaxRows']],
];

/** The heading of an option, as commander prints it. */
export function helpGroupOf(name: OptionName): string {
  const [heading] = GROUPS.find(([, options]) => options.includes(name)) ?? ['More options'];
  return `${heading}:`;
}
