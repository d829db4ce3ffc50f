import type { IncomingMessage } from 'node:http';
import type { Attributes } from './authorizer.ts';

/** A request for objects, taken apart. */
export type ApiQuestion = {
  readonly verb: Attributes['verb'];
  /** `pods`, `secrets` and so on. */
  readonly resource: string;
  /** `token` of a ServiceAccount. */
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly query: ReadonlyMap<string, string>;
  readonly fieldSelector: ReadonlyMap<string, string>;
};

const PATH = /^\/api\/v1(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+)(?:\/(token))?)?$/;

/** Undefined for what is no path of the core API. */
export function readQuestion(request: IncomingMessage): ApiQuestion | undefined {
  const url = new URL(request.url ?? '/', 'https://api.invalid');
  const match = PATH.exec(url.pathname);
  const resource = match?.[2];
  if (resource === undefined) return undefined;
  const query = new Map(url.searchParams);
  const name = match?.[3];
  return {
    verb: verbOf(request.method ?? 'GET', name, query),
    resource,
    subresource: match?.[4],
    namespace: match?.[1],
    name,
    query,
    fieldSelector: selectorOf(query.get('fieldSelector')),
  };
}

function verbOf(
  method: string,
  name: string | undefined,
  query: ReadonlyMap<string, string>,
): Attributes['verb'] {
  if (method === 'POST') return 'create';
  if (method === 'PUT') return 'update';
  if (method === 'PATCH') return 'patch';
  if (method === 'DELETE') return 'delete';
  if (name !== undefined) return 'get';
  return ['true', '1'].includes(query.get('watch') ?? '') ? 'watch' : 'list';
}

function selectorOf(text: string | undefined): Map<string, string> {
  const terms = (text ?? '').split(',').filter((term) => term !== '');
  return new Map(
    terms.map((term) => {
      const [field = '', value = ''] = term.split(/==?/);
      return [field, value];
    }),
  );
}
