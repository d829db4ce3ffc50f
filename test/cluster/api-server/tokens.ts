import type { IncomingMessage } from 'node:http';
import type { Answer } from './answer.ts';
import { type Authorizer, nodeNameOf, nodeOf } from './authorizer.ts';
import { type Fields, fieldsOf, readBody } from './body.ts';
import type { KubeObject, ObjectStore } from './objects.ts';
import type { ApiQuestion } from './request.ts';
import { badRequest, conflict, forbidden, notFound, type Status } from './status.ts';
import type { Users } from './users.ts';

type Asked = ApiQuestion & { readonly user: string };

const DEFAULT_SECONDS = 3_600;

/**
 * POST of a TokenRequest, in the API server's order (pkg/registry/core/serviceaccount/storage/token.go and
 * plugin/pkg/admission/noderestriction): the account and its uid, what a node may ask, the pod and its uid.
 *
 * @returns what was asked
 */
export async function answerTokenRequest(
  { store, users, authorizer }: { store: ObjectStore; users: Users; authorizer: Authorizer },
  question: Asked,
  request: IncomingMessage,
  answer: Answer,
): Promise<Fields> {
  const { namespace = '', name = '' } = question;
  const body = (await readBody(request)) ?? {};
  const account = store.get('serviceaccounts', namespace, name);
  const refusal = account
    ? (uidConflict(account, body) ??
      nodeRefusal(store, authorizer, question, body) ??
      podConflict(store, question, body))
    : notFound('serviceaccounts', name);
  if (refusal) {
    answer.status(refusal);
    return body;
  }
  const spec = fieldsOf(body.spec);
  const expirationSeconds = Number(spec.expirationSeconds ?? DEFAULT_SECONDS);
  const now = Date.now();
  answer.object(201, {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, uid: account?.metadata.uid, creationTimestamp: timestamp(now) },
    spec: { ...spec, expirationSeconds },
    status: {
      token: users.issueToken(`system:serviceaccount:${namespace}:${name}`),
      expirationTimestamp: timestamp(now + expirationSeconds * 1_000),
    },
  });
  return body;
}

function uidConflict(account: KubeObject, body: Fields): Status | undefined {
  const { uid } = fieldsOf(body.metadata);
  const { name, uid: actual } = account.metadata;
  if (typeof uid !== 'string' || uid === '' || uid === actual) return undefined;
  const text = `the UID in the token request (${uid}) does not match the UID of the service account (${actual})`;
  return conflict('serviceaccounts', name, text);
}

/** NodeRestriction, and the rule for audiences. */
function nodeRefusal(
  store: ObjectStore,
  authorizer: Authorizer,
  { namespace = '', name = '', user }: Asked,
  body: Fields,
): Status | undefined {
  const node = nodeOf(user);
  if (node === undefined) return undefined;
  const refuse = (text: string): Status => forbidden('serviceaccounts', name, text);
  const ref = fieldsOf(fieldsOf(body.spec).boundObjectRef);
  if (ref.kind !== 'Pod' || ref.apiVersion !== 'v1' || typeof ref.name !== 'string') {
    return refuse('node requested token not bound to a pod');
  }
  if (!ref.uid) return refuse('node requested token with a pod binding without a uid');
  const pod = store.get('pods', namespace, ref.name);
  if (!pod) return notFound('pods', ref.name);
  if (pod.metadata.uid !== ref.uid) return refuse(otherUid(ref.uid));
  if (nodeNameOf(pod) !== node) {
    return refuse('node requested token bound to a pod scheduled on a different node');
  }
  const audience = audienceOf(body);
  const granted = authorizer.refusal({
    user,
    verb: 'request-serviceaccounts-token-audience',
    resource: audience,
    namespace,
    name,
    fieldSelector: new Map(),
  });
  if (audiencesIn(pod).includes(audience) || granted === undefined) return undefined;
  return refuse(
    `audience ${JSON.stringify(audience)} not found in pod spec volume, ` +
      `${user} is not authorized to request tokens for this audience`,
  );
}

function podConflict(
  store: ObjectStore,
  { namespace = '', name = '' }: Asked,
  body: Fields,
): Status | undefined {
  const ref = fieldsOf(fieldsOf(body.spec).boundObjectRef);
  const podName = String(ref.name);
  const pod = store.get('pods', namespace, podName);
  if (!pod) return notFound('pods', podName);
  if (fieldsOf(pod.spec).serviceAccountName !== name) {
    const account = JSON.stringify(name);
    return badRequest(
      `cannot bind token for serviceaccount ${account} to pod running with different serviceaccount name.`,
    );
  }
  return ref.uid === pod.metadata.uid ? undefined : conflict('pods', podName, otherUid(ref.uid));
}

function otherUid(uid: unknown): string {
  return (
    `the UID in the bound object reference (${uid}) does not match the UID in record. ` +
    'The object might have been deleted and then recreated'
  );
}

function audienceOf(body: Fields): string {
  const { audiences } = fieldsOf(body.spec);
  return Array.isArray(audiences) ? String(audiences[0] ?? '') : '';
}

/** Of projected volumes; CSI drivers are not modelled. */
function audiencesIn(pod: KubeObject): string[] {
  return listOf(fieldsOf(pod.spec).volumes)
    .flatMap((volume) => listOf(fieldsOf(fieldsOf(volume).projected).sources))
    .flatMap((source) => {
      const { serviceAccountToken } = fieldsOf(source);
      return serviceAccountToken === undefined ? [] : [String(fieldsOf(serviceAccountToken).audience ?? '')];
    });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** metav1.Time. */
function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
