import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type Login = { readonly username: string; readonly password: string };

/** What kubelet of a node may pull with besides the pods' secrets, as files for its flags. */
export type KubeletCredentials = {
  /** Kubelet's own flags, which are the agent's as well. */
  readonly flags: readonly string[];
  /** How often a plugin was executed. */
  runsOf(plugin: string): Promise<number>;
};

export type PluginWanted = {
  readonly name: string;
  readonly matchImages: readonly string[];
  /** With tokenAttributes; left out: a plugin for the node. */
  readonly audience?: string;
  /** Left out for a plugin with an audience: see `logins`. */
  readonly auth?: Readonly<Record<string, Login>>;
  /** What an account with this word in its annotation LOGIN_ANNOTATION logs in with. */
  readonly logins?: Readonly<Record<string, Readonly<Record<string, Login>>>>;
  /** How long its answers are good, as Go writes it; left out: for once. */
  readonly cacheDuration?: string;
};

/** By this a service account says as whom it is to log in, as a role is named on EKS. */
export const LOGIN_ANNOTATION = 'lab.example.com/login';

const EXEC_VERSION = 'credentialprovider.kubelet.k8s.io/v1';

/**
 * Writes kubelet's docker config, its provider configuration and the executables below `folder`. The
 * executables are shell scripts: they read the request as kubelet writes it, and answer from files that
 * nobody else reads.
 */
export async function writeKubeletCredentials(
  folder: string,
  dockerConfig: Readonly<Record<string, Login>>,
  plugins: readonly PluginWanted[],
): Promise<KubeletCredentials> {
  const rootDir = join(folder, 'root');
  const binDir = join(folder, 'bin');
  const answers = join(folder, 'answers');
  for (const place of [rootDir, binDir, answers]) await mkdir(place, { recursive: true, mode: 0o700 });
  await writeSecret(join(rootDir, 'config.json'), { auths: dockerConfig });
  for (const plugin of plugins) await install(plugin, binDir, answers);
  const config = join(folder, 'providers.json');
  await writeSecret(config, {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: plugins.map(configOf),
  });
  return {
    flags: [
      ...['--kubelet-root-dir', rootDir, '--image-credential-provider-config', config],
      ...['--image-credential-provider-bin-dir', binDir],
    ],
    async runsOf(plugin) {
      const lines = await readFile(join(answers, `${plugin}.runs`), 'utf8').catch(() => '');
      return lines.split('\n').length - 1;
    },
  };
}

function configOf({ name, matchImages, audience, cacheDuration = '0s' }: PluginWanted): object {
  return {
    name,
    apiVersion: EXEC_VERSION,
    matchImages,
    defaultCacheDuration: cacheDuration,
    ...(audience !== undefined && {
      tokenAttributes: {
        serviceAccountTokenAudience: audience,
        cacheType: 'ServiceAccount',
        requireServiceAccount: true,
        requiredServiceAccountAnnotationKeys: [LOGIN_ANNOTATION],
      },
    }),
  };
}

async function install(plugin: PluginWanted, binDir: string, answers: string): Promise<void> {
  const { name, audience, auth = {}, logins = {} } = plugin;
  const begin = `#!/bin/sh\nset -eu\ncd '${answers}'\necho run >> '${name}.runs'\nrequest=$(cat)\n`;
  const ofNode = `cat '${name}.json'\n`;
  const ofAccount = [
    `case $request in *'"serviceAccountToken":"'*) ;; *) exit 3 ;; esac`,
    `login=$(printf '%s' "$request" | sed -n 's|.*"${LOGIN_ANNOTATION}":"\\([a-z]*\\)".*|\\1|p')`,
    `cat "${name}.$login.json"\n`,
  ].join('\n');
  await writeSecret(join(answers, `${name}.json`), responseOf(auth));
  for (const [login, auths] of Object.entries(logins)) {
    await writeSecret(join(answers, `${name}.${login}.json`), responseOf(auths));
  }
  const script = begin + (audience === undefined ? ofNode : ofAccount);
  await writeFile(join(binDir, name), script, { mode: 0o755 });
}

function responseOf(auth: Readonly<Record<string, Login>>): object {
  return { kind: 'CredentialProviderResponse', apiVersion: EXEC_VERSION, cacheKeyType: 'Image', auth };
}

async function writeSecret(path: string, content: object): Promise<void> {
  await writeFile(path, JSON.stringify(content), { mode: 0o600 });
}
