import type { RegistryCredential } from '../credentials/types.ts';

/**
 * What a pod logs in with. `key` stands for it in caches: a keyed hash, so that no password is kept, and two
 * that are the same share tokens.
 */
export type RegistryLogin =
  | { readonly kind: 'password'; readonly username: string; readonly password: string; readonly key: string }
  | { readonly kind: 'identityToken'; readonly token: string; readonly key: string };

/**
 * The login of a docker config entry; undefined where it is none, as containerd and CRI-O take it: without
 * user or password they ask anonymously. Docker writes identity tokens under the user `<token>`. (Kubelet
 * drops the config's own `identitytoken` and `registrytoken`.)
 */
export function loginOf(
  { username, password }: Pick<RegistryCredential, 'username' | 'password'>,
  key: string,
): RegistryLogin | undefined {
  if (username === '' || password === '') return undefined;
  return username === '<token>'
    ? { kind: 'identityToken', token: password, key }
    : { kind: 'password', username, password, key };
}

/** The Basic header of a login (RFC 7617); undefined for one that has none. */
export function basicHeader(login: RegistryLogin | undefined): string | undefined {
  if (login?.kind !== 'password') return undefined;
  return `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
}
