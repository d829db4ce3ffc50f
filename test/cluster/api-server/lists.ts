import type { Answer } from './answer.ts';
import { isSelected, kindOf, withKind } from './kinds.ts';
import type { KubeObject, ObjectStore } from './objects.ts';
import type { ApiQuestion } from './request.ts';
import { badRequest, continueExpired, notFound, tooLargeVersion, tooOldVersion } from './status.ts';

type Page = { readonly at: number; readonly after: string };

/** GET of one object. */
export function answerGet(store: ObjectStore, question: ApiQuestion, answer: Answer): void {
  const { resource, namespace = '', name = '' } = question;
  const object = store.get(resource, namespace, name);
  if (object) answer.object(200, withKind(resource, object));
  else answer.status(notFound(resource, name));
}

/**
 * A list. With resourceVersion 0 it comes from the watch cache, whole, whatever the limit; else from etcd, in
 * pages of `limit`, all as of the first one's version. A version without resourceVersionMatch means Exact
 * beside a limit, and NotOlderThan without one (measured on 1.36.2).
 */
export function answerList(store: ObjectStore, question: ApiQuestion, answer: Answer): void {
  const { resource, namespace, query, fieldSelector } = question;
  const token = query.get('continue');
  const page = token === undefined || token === '' ? undefined : readToken(token);
  if (page === 'malformed') {
    answer.status(badRequest('continue key is not valid: invalid base64'));
    return;
  }
  const match = query.get('resourceVersionMatch');
  const refused = problemOf(query);
  if (refused !== undefined) {
    answer.status(badRequest(refused));
    return;
  }
  const asked = Number(query.get('resourceVersion') || 0);
  if (asked > store.resourceVersion()) {
    answer.status(tooLargeVersion(asked, store.resourceVersion()));
    return;
  }
  const limited = Number(query.get('limit') ?? 0) > 0;
  const exact = asked > 0 && (match === 'Exact' || (match === undefined && limited));
  const at = page?.at ?? (exact ? asked : undefined);
  const all = store.list(resource, at);
  if (all === undefined) {
    const expired = page
      ? continueExpired(tokenOf({ at: -1, after: page.after }))
      : tooOldVersion(asked, store.compactedTo());
    answer.status(expired);
    return;
  }
  const selected = all.filter((object) => isSelected(object, namespace, fieldSelector));
  const rest = page ? selected.filter((object) => keyOf(object) >= page.after) : selected;
  const limit = query.get('resourceVersion') === '0' ? 0 : Number(query.get('limit') ?? 0);
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const version = at ?? store.resourceVersion();
  const last = items.at(-1);
  const more = last && items.length < rest.length;
  answer.object(200, {
    kind: `${kindOf(resource)}List`,
    apiVersion: 'v1',
    metadata: {
      resourceVersion: String(version),
      ...(more && { continue: tokenOf({ at: version, after: `${keyOf(last)}\0` }) }),
    },
    items,
  });
}

/** apimachinery ValidateListOptions. */
function problemOf(query: ReadonlyMap<string, string>): string | undefined {
  const match = query.get('resourceVersionMatch');
  if (match === undefined) {
    const both = query.get('continue') && (query.get('resourceVersion') ?? '0') !== '0';
    return both ? 'specifying resource version is not allowed when using continue' : undefined;
  }
  if (query.get('continue'))
    return 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for continue';
  if (!query.get('resourceVersion')) {
    return 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided';
  }
  return undefined;
}

function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return `/${namespace}/${name}`;
}

/** storage/continue.go: where the next page starts, and the version of the first. */
function tokenOf({ at, after }: Page): string {
  const token = JSON.stringify({ v: 'meta.k8s.io/v1', rv: at, start: after });
  return Buffer.from(token).toString('base64url');
}

function readToken(token: string): Page | 'malformed' {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    return { at: Number(rv), after: String(start) };
  } catch {
    return 'malformed';
  }
}
