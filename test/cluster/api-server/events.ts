import type { IncomingMessage } from 'node:http';
import type { Answer } from './answer.ts';
import { type Fields, fieldsOf, isFields, readBody } from './body.ts';
import { withKind } from './kinds.ts';
import type { KubeObject, ObjectStore } from './objects.ts';
import type { ApiQuestion } from './request.ts';
import { alreadyExists, badRequest, invalid, noSuchPath, notFound, unsupportedMediaType } from './status.ts';

/** POST of an Event: validated as the API server does (legacyValidateEvent), completed, stored. */
export async function answerCreate(
  store: ObjectStore,
  question: ApiQuestion,
  request: IncomingMessage,
  answer: Answer,
): Promise<void> {
  const { resource, namespace } = question;
  const body = await readBody(request);
  if (resource !== 'events' || namespace === undefined) return answer.status(noSuchPath());
  if (!body) return answer.status(badRequest('the object provided is unrecognized'));
  const metadata = fieldsOf(body.metadata);
  if (metadata.namespace !== undefined && metadata.namespace !== namespace) {
    return answer.status(
      badRequest('the namespace of the provided object does not match the namespace sent on the request'),
    );
  }
  const name = nameOf(metadata);
  if (store.get(resource, namespace, name)) return answer.status(alreadyExists(resource, name));
  const problem = problemOf(body, name, namespace);
  if (problem) return answer.status(invalid('Event', name, problem));
  const { kind, apiVersion, ...fields } = body;
  const event = { eventTime: null, reportingComponent: '', reportingInstance: '', ...fields };
  const stored = store.put(resource, { ...event, metadata: { ...metadata, name, namespace } });
  answer.object(201, withKind(resource, stored));
}

/** PATCH of an Event: an Event has no lists, so a strategic merge patch of it is a JSON merge patch. */
export async function answerPatch(
  store: ObjectStore,
  question: ApiQuestion,
  request: IncomingMessage,
  answer: Answer,
): Promise<void> {
  const { resource, namespace = '', name = '' } = question;
  const type = request.headers['content-type'] ?? '';
  const body = await readBody(request);
  if (!/^application\/(strategic-)?merge-patch\+json$/.test(type))
    return answer.status(unsupportedMediaType());
  const before = store.get(resource, namespace, name);
  if (!before) return answer.status(notFound(resource, name));
  if (!body) return answer.status(badRequest('the patch is no JSON object'));
  const stored = store.put(resource, { ...merged(before, body), metadata: before.metadata });
  answer.object(200, withKind(resource, stored));
}

function nameOf({ name, generateName }: Fields): string {
  if (typeof name === 'string') return name;
  return `${generateName ?? ''}${Math.random().toString(36).slice(2, 7)}`;
}

function problemOf(event: Fields, name: string, namespace: string): string | undefined {
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name) || name.length > 253) {
    return `metadata.name: Invalid value: ${JSON.stringify(name)}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`;
  }
  const about = fieldsOf(event.involvedObject).namespace;
  if (about !== namespace) {
    return `involvedObject.namespace: Invalid value: ${JSON.stringify(about ?? '')}: does not match event.namespace`;
  }
  return undefined;
}

function merged(before: KubeObject, patch: Fields): Fields {
  const entries = Object.entries(patch).map(([key, value]) => [
    key,
    isFields(value) ? { ...fieldsOf(before[key]), ...value } : value,
  ]);
  return { ...before, ...Object.fromEntries(entries) };
}
