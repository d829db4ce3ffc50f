import { z } from 'zod';
import { ApiError, ServiceAccountError } from '../../errors.ts';
import type { FairQueue } from '../../fair-queue.ts';
import { type ApiClient, isObjectName, parseAnswer } from '../../kubernetes/api-client.ts';
import type {
  ServiceAccountIdentity,
  ServiceAccountSource,
  ServiceAccountToken,
  TokenQuestion,
} from '../service-account-source.ts';
import { isCostly } from './large-objects/reader.ts';
import { askPastLag, isUnrelated, refusedUser } from './past-lag.ts';

export type ServiceAccountOptions = {
  readonly client: ApiClient;
  /** Requests wait here for their namespace's turn. */
  readonly queue: FairQueue;
  readonly authorizerLagMs: number;
};

const serviceAccount = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string().min(1),
    annotations: z.record(z.string(), z.string()).nullish(),
  }),
});

const tokenAnswer = z.object({
  spec: z.object({ expirationSeconds: z.int().positive() }),
  status: z.object({ token: z.string().min(1), expirationTimestamp: z.iso.datetime({ offset: true }) }),
});

/**
 * Service accounts and tokens from the API server, asked as kubelet asks (pkg/kubelet/token and
 * pkg/credentialprovider/plugin): the account is read live each time, the token is bound to the pod.
 */
export function createServiceAccountSource(options: ServiceAccountOptions): ServiceAccountSource {
  const { client, queue, authorizerLagMs } = options;

  return {
    async getServiceAccount(namespace, name) {
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const read = (): Promise<Buffer> =>
        queue.run(namespace, () => client.askBytes({ path: pathOf(namespace, name) }));
      try {
        return identityOf(await askPastLag(read, authorizerLagMs));
      } catch (error) {
        if (error instanceof ApiError && error.reason === 'notFound') return undefined;
        throw readError(error, namespace, name);
      }
    },
    async requestToken(question) {
      const { namespace, serviceAccountName } = question;
      let requestedAtMs = 0;
      const request = (): Promise<unknown> =>
        queue.run(namespace, () => {
          requestedAtMs = performance.now();
          return client.ask({
            method: 'POST',
            path: `${pathOf(namespace, serviceAccountName)}/token`,
            body: { contentType: 'application/json', object: tokenRequest(question) },
          });
        });
      try {
        return tokenOf(await askPastLag(request, authorizerLagMs), requestedAtMs);
      } catch (error) {
        throw tokenError(error, question);
      }
    },
  };
}

function pathOf(namespace: string, name: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(name)}`;
}

/** As kubelet marshals it: without a lifetime, so that the API server chooses one. */
function tokenRequest(question: TokenQuestion): object {
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { uid: question.serviceAccountUid },
    spec: {
      audiences: [question.audience],
      expirationSeconds: null,
      boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: question.podName, uid: question.podUid },
    },
  };
}

function identityOf(json: Buffer): ServiceAccountIdentity {
  // Tenants write them, and with thousands of annotations they hold up the thread.
  if (isCostly(json)) {
    throw new ApiError('answerTooLarge', 'the ServiceAccount is larger than is read');
  }
  const parsed = serviceAccount.safeParse(parseAnswer(json)).data;
  if (!parsed) {
    throw new ApiError('answerMalformed', 'the API server did not answer with a ServiceAccount');
  }
  const { namespace, name, uid, annotations } = parsed.metadata;
  return { namespace, name, uid, annotations: new Map(Object.entries(annotations ?? {})) };
}

function tokenOf(object: unknown, requestedAtMs: number): ServiceAccountToken {
  const parsed = tokenAnswer.safeParse(object).data;
  if (!parsed) throw new ApiError('answerMalformed', 'the API server did not answer with a token');
  return {
    token: parsed.status.token,
    expirationMs: Date.parse(parsed.status.expirationTimestamp),
    lifetimeMs: parsed.spec.expirationSeconds * 1_000,
    requestedAtMs,
  };
}

function readError(error: unknown, namespace: string, name: string): unknown {
  if (!(error instanceof ApiError)) return error;
  const subject = `service account ${namespace}/${name}`;
  if (error.reason !== 'forbidden') {
    return new ServiceAccountError('apiServerUnavailable', `${subject}: ${error.message}`);
  }
  const grant = isUnrelated(error)
    ? 'the Node authorizer lets it read only those that a pod of this node uses'
    : `grant it the verb get on serviceaccounts in namespace ${namespace}`;
  return new ServiceAccountError(
    'serviceAccountForbidden',
    `${subject}: ${refusedUser(error)} may not read it: ${grant}`,
  );
}

function tokenError(error: unknown, question: TokenQuestion): unknown {
  if (!(error instanceof ApiError)) return error;
  const { namespace, serviceAccountName } = question;
  const subject = `token of service account ${namespace}/${serviceAccountName}`;
  switch (error.reason) {
    case 'forbidden':
      return refusedToken(error, subject, question);
    case 'notFound':
    case 'conflict':
      return new ServiceAccountError('subjectGone', `${subject}: ${error.message}`);
    case 'badRequest':
      return new ServiceAccountError('tokenRefused', `${subject}: ${error.message}`);
    default:
      return new ServiceAccountError('apiServerUnavailable', `${subject}: ${error.message}`);
  }
}

/**
 * NodeRestriction speaks of the audience, the authorizers of the verb
 * (plugin/pkg/admission/noderestriction).
 */
function refusedToken(error: ApiError, subject: string, question: TokenQuestion): ServiceAccountError {
  if (/ is forbidden: (error validating )?audience "/.test(error.message)) {
    return new ServiceAccountError(
      'audienceForbidden',
      `${subject}: ${error.message}; ${audienceRule(question)}`,
    );
  }
  if (error.message.includes('The object might have been deleted and then recreated')) {
    return new ServiceAccountError('subjectGone', `${subject}: ${error.message}`);
  }
  const grant = isUnrelated(error)
    ? 'the Node authorizer allows it only while a pod of this node uses the service account'
    : `grant it the verb create on serviceaccounts/token in namespace ${question.namespace}`;
  return new ServiceAccountError('tokenForbidden', `${subject}: ${error.message}; ${grant}`);
}

/** What an administrator can paste into a Role (KEP-4412, ServiceAccountNodeAudienceRestriction). */
function audienceRule({ namespace, serviceAccountName, audience }: TokenQuestion): string {
  const rule = {
    apiGroups: [''],
    resources: [audience],
    verbs: ['request-serviceaccounts-token-audience'],
    resourceNames: [serviceAccountName],
  };
  return `a Role in namespace ${namespace}, bound to the group system:nodes, needs the rule ${JSON.stringify(rule)}`;
}
