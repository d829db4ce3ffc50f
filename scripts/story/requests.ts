import type { RegistryRequest } from '../lab/access-log.ts';
import type { TokenRequest } from '../lab/token-server.ts';

/**
 * Each request that a step cost, with what it was for, in the words of the OCI distribution specification:
 * `HEAD manifest: 401, how to log in`. Docker's logs name no user, so a 401 means "log in first" where
 * another request for the same follows, and a refusal where none does.
 */
export function explainRequests(
  registry: readonly RegistryRequest[],
  tokens: readonly TokenRequest[] = [],
): readonly string[] {
  const asked = registry.map((request, index) => {
    const isLast = !registry.slice(index + 1).some(({ path }) => kindOf(path) === kindOf(request.path));
    const { method, path, status } = request;
    return `${method} ${kindOf(path)}: ${status}, ${meaningOf(path, status, isLast, tokens.length > 0)}`;
  });
  const isRefused = [401, 403].includes(registry.at(-1)?.status ?? 0);
  const forTokens = tokens.map(({ status, user }) => {
    const got = status === 200 ? `a token${isRefused ? ' without this right' : ''}` : 'refused';
    return `token server, as ${user || 'nobody'}: ${status}, ${got}`;
  });
  // The registry sends whoever asks there first.
  return [...asked.slice(0, 1), ...forTokens, ...asked.slice(1)];
}

function kindOf(path: string): string {
  if (path.includes('/manifests/')) return 'manifest';
  return path.includes('/blobs/') ? 'blob' : '/v2/';
}

function meaningOf(path: string, status: number, isLast: boolean, hasTokenServer: boolean): string {
  if (status === 401 && !isLast) return hasTokenServer ? 'where to get a token' : 'how to log in';
  if (status === 401 && kindOf(path) === '/v2/') return 'how to log in';
  if (status === 401 || status === 403) return 'refused';
  if (status === 404) return 'there is no such thing';
  return kindOf(path) === 'blob' ? 'content' : 'granted';
}
