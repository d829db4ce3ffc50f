import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  createNodeCredentials,
  type NodeCredentials,
  type NodeOffer,
} from '../../agent/credentials/node/node-credentials.ts';
import type { PluginRun } from '../../agent/credentials/providers/provider-set.ts';
import type { ServiceAccountTokens } from '../../agent/credentials/providers/service-accounts.ts';

/**
 * In everything that a plugin prints or is told, so that it can be looked for in everything that comes out.
 */
export const SECRET = 'hunter2-not-a-password';
const VERSION = 'credentialprovider.kubelet.k8s.io/v1';
export const IMAGE = 'reg.example.com/team-a/app';
export const POD = { namespace: 'team-a', name: 'pod-1', uid: 'pod-uid-1', serviceAccountName: 'builder' };

export const TOKEN_ATTRIBUTES = {
  serviceAccountTokenAudience: 'reg-audience',
  cacheType: 'ServiceAccount',
  requireServiceAccount: true,
};

/** A plugin's answer as text; `%s` in it would be taken by printf. */
export function answer(
  auth: object = { 'reg.example.com': { username: 'u', password: SECRET } },
  more: object = {},
) {
  const response = {
    kind: 'CredentialProviderResponse',
    apiVersion: VERSION,
    cacheKeyType: 'Image',
    auth,
    ...more,
  };
  return JSON.stringify(response);
}

/** A plugin that prints this and ends well. */
export function prints(text: string): string {
  return `cat <<'END'\n${text}\nEND\n`;
}

export type TestNode = {
  readonly folder: string;
  readonly credentials: NodeCredentials;
  readonly runs: readonly PluginRun[];
  /** A file below the folder. */
  write(path: string, content: string): void;
  read(path: string): string;
  /** Providers for reg.example.com, of these names, with what is given besides. */
  configure(providers: Readonly<Record<string, object>>): void;
  /** A shell script as the executable of a provider; `$FOLDER` is the folder. */
  install(provider: string, script: string): void;
};

/** Stands for the API server, of which these tests need two answers. */
const NO_API_SERVER: ServiceAccountTokens = {
  getServiceAccount: () => Promise.reject(new Error('not asked in this test')),
  requestToken: () => Promise.reject(new Error('not asked in this test')),
};

/** A node's folders in a temporary place, and the agent's view of them; both gone after the test. */
export function testNode(
  options: { readonly timeoutMs?: number; readonly serviceAccounts?: ServiceAccountTokens } = {},
): TestNode {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-credentials-'));
  for (const name of ['bin', 'kubelet', 'config']) mkdirSync(join(folder, name));
  const runs: PluginRun[] = [];
  const credentials = createNodeCredentials(
    {
      kubeletRootDir: join(folder, 'kubelet'),
      dockerConfigFiles: [],
      providers: {
        configPath: join(folder, 'config'),
        binDir: join(folder, 'bin'),
        timeoutMs: options.timeoutMs ?? 20_000,
      },
    },
    {
      serviceAccounts: options.serviceAccounts ?? NO_API_SERVER,
      pluginEnded: (run) => runs.push(run),
    },
  );
  onTestFinished(() => {
    credentials.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder,
    credentials,
    runs,
    write: (path, content) => writeFileSync(join(folder, path), content),
    read: (path) => readFileSync(join(folder, path), 'utf8'),
    configure(providers) {
      writeFileSync(join(folder, 'config/config.json'), JSON.stringify(providerConfig(providers)));
    },
    install(provider, script) {
      const text = `#!/bin/sh\nFOLDER=${folder}\n${script}`;
      writeFileSync(join(folder, 'bin', provider), text, { mode: 0o755 });
    },
  };
}

export function providerConfig(providers: Readonly<Record<string, object>>): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: Object.entries(providers).map(([name, more]) => ({
      name,
      apiVersion: VERSION,
      matchImages: ['reg.example.com'],
      defaultCacheDuration: '0s',
      ...more,
    })),
  };
}

/** Why each provider has given nothing. */
export function reasonsOf({ problems }: NodeOffer): readonly string[] {
  return problems.map(({ error }) => error.reason);
}

/** Everything that could reach a log: messages, stacks and causes, and what metrics and doctor are told. */
export async function allThatIsSaid({ credentials, runs }: TestNode, offer: NodeOffer): Promise<string> {
  const said: unknown[] = [runs, await credentials.status()];
  for (const { error } of offer.problems) {
    for (let one: unknown = error; one instanceof Error; one = one.cause) {
      said.push(one.message, one.stack, { ...one });
    }
  }
  return JSON.stringify(said);
}

/** Also of one that has ended and waits for nobody to ask for its exit code. */
export function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
