import type { KeyringSecret } from '../../agent/credentials/keyring.ts';

export function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

/**
 * A secret of type kubernetes.io/dockerconfigjson; `config` is the text under its key, or what to write
 * there as JSON.
 */
export function configJsonSecret(config: unknown, name = 'regcred'): KeyringSecret {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  const data = new Map([['.dockerconfigjson', Buffer.from(text)]]);
  return { namespace: 'team-a', name, uid: `uid-${name}`, type: 'kubernetes.io/dockerconfigjson', data };
}

/** A secret of type kubernetes.io/dockercfg. */
export function dockercfgSecret(config: unknown, name = 'oldcred'): KeyringSecret {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  const data = new Map([['.dockercfg', Buffer.from(text)]]);
  return { namespace: 'team-a', name, uid: `uid-${name}`, type: 'kubernetes.io/dockercfg', data };
}
