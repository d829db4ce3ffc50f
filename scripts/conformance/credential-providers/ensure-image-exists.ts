import { checkAccess } from '../../../agent/access/record/check-access.ts';
import type { VerificationPolicy } from '../../../agent/access/record/policy.ts';
import { parseDockerConfigFile } from '../../../agent/credentials/docker-config.ts';
import { grantOf, ofSecret, podCredentialsOf } from '../../../agent/credentials/grant.ts';
import { lookup, makeKeyring, sourcedKeyring } from '../../../agent/credentials/keyring.ts';
import { askProviders } from '../../../agent/credentials/node/node-credentials.ts';
import { createProvider } from '../../../agent/credentials/providers/provider.ts';
import type { SourcedCredential } from '../../../agent/credentials/types.ts';
import { DockerConfigError, ImageNameError } from '../../../agent/errors.ts';
import { type ImageName, parseImageName } from '../../../agent/image/reference.ts';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import type { ImageManagerNode, ImageManagerStep } from './image-manager-step.ts';
import { recordedPlugin, recordedServer } from './recorded-provider.ts';

/**
 * Kubelet's EnsureImageExists (pkg/kubelet/images/image_manager.go) as far as it decides and records, with
 * the agent's own decision, keyrings and records. The pull itself is the recorded list of logins that the
 * registry takes: kubelet tries one credential after the other, and anonymously only where there is none.
 */
export async function ensureImageExists(
  store: RecordStore,
  policy: VerificationPolicy,
  node: ImageManagerNode,
  step: ImageManagerStep,
): Promise<object> {
  const name = nameOf(step.image);
  const seen = { pluginCalls: [] as string[], pullAttempts: [] as object[], ...NOTHING_DECIDED };
  if (name === undefined) return { ...seen, ...failed('InvalidImageName') };
  const asked = step.imagePullPolicy !== 'Always' && step.presentBefore;
  if (step.imagePullPolicy === 'Never' && !asked) return { ...seen, ...failed('ErrImageNeverPull') };

  // As sync.OnceValues: one look-up, and no earlier than needed.
  let pending: ReturnType<typeof lookUp> | undefined;
  const lookUpOnce = (calls: string[]) => (pending ??= lookUp(node, step, name.repository, calls));

  if (asked) {
    const decided = await decideOn(store, policy, step, () => lookUpOnce(seen.pluginCalls));
    // Where the decision did without, the recorder asked afterwards, and left that out of pluginCalls.
    const credentials = await (pending ?? lookUp(node, step, name.repository, []));
    const { secrets, serviceAccount } = podCredentialsOf(credentials === 'error' ? [] : credentials);
    Object.assign(seen, decided, {
      mustAttemptAsked: true,
      podSecrets: secrets,
      podServiceAccount: serviceAccount ?? null,
    });
    if (credentials === 'error' && decided.credentialsNeededForDecision)
      return { ...seen, ...failed('other') };
    if (!decided.mustPull) return { ...seen, ...succeeded('none', step) };
    if (step.imagePullPolicy === 'Never') return { ...seen, ...failed('ErrImageNeverPull') };
  }
  const credentials = await lookUpOnce(seen.pluginCalls);
  if (credentials === 'error') return { ...seen, ...failed('other') };
  return { ...seen, ...pull(store, step, withTag(step.image, name), credentials, seen.pullAttempts) };
}

const NOTHING_DECIDED = {
  mustAttemptAsked: false,
  mustPull: undefined,
  credentialsNeededForDecision: undefined,
  podSecrets: undefined,
  podServiceAccount: undefined,
};

function failed(error: string): object {
  return { outcome: undefined, error, imageRef: '' };
}

function succeeded(outcome: string, step: ImageManagerStep): object {
  return { outcome, error: null, imageRef: step.imageRefIfPulled };
}

async function decideOn(
  store: RecordStore,
  policy: VerificationPolicy,
  { image, imageRefIfPulled: imageRef }: ImageManagerStep,
  credentials: () => ReturnType<typeof lookUp>,
): Promise<{ mustPull: boolean; credentialsNeededForDecision: boolean }> {
  const question = { image, imageRef };
  let decision = checkAccess(store, policy, question);
  const credentialsNeededForDecision = decision.result === 'needsPodCredentials';
  if (credentialsNeededForDecision) {
    const found = await credentials();
    if (found === 'error') return { mustPull: true, credentialsNeededForDecision };
    decision = checkAccess(store, policy, question, podCredentialsOf(found));
  }
  if (decision.result === 'credentialRecordFound' && decision.learn) {
    store.mergeCredentials(image, imageRef, decision.learn);
  }
  const mustPull = !['credentialPolicyAllowed', 'credentialRecordFound'].includes(decision.result);
  return { mustPull, credentialsNeededForDecision };
}

function pull(
  store: RecordStore,
  step: ImageManagerStep,
  pulledImage: string,
  credentials: readonly SourcedCredential[],
  attempts: object[],
): object {
  store.recordPullIntent(step.image);
  for (const credential of credentials.length === 0 ? [undefined] : credentials) {
    attempts.push({ image: pulledImage, auth: credential ? authOf(credential) : null });
    if (!step.registryAccepts.includes(credential ? loginOf(credential) : '')) continue;
    store.recordImagePulled(step.image, step.imageRefIfPulled, grantOf(credential));
    return succeeded('pulled', step);
  }
  store.recordImagePullFailed(step.image);
  return failed('ErrImagePull');
}

function loginOf({ credential: { username, password } }: SourcedCredential): string {
  return `${username}:${password}`;
}

/** Empty fields are left out, as CRI leaves them out. */
function authOf({ credential }: SourcedCredential): object {
  return Object.fromEntries(Object.entries(credential).filter(([, value]) => value !== ''));
}

/**
 * Secrets, the node's docker config, the plugins: what kubelet's keyrings offer, or that a secret is
 * malformed.
 */
async function lookUp(
  node: ImageManagerNode,
  step: ImageManagerStep,
  repository: string,
  calls: string[],
): Promise<readonly SourcedCredential[] | 'error'> {
  try {
    const secrets = makeKeyring(step.imagePullSecrets.map(secretOf));
    const { configs } = await askProviders(providersOf(node, step, calls), repository, step.pod);
    // All are asked at once here.
    const names = node.providers.map(({ name }) => name);
    calls.sort((one, other) => names.indexOf(one) - names.indexOf(other));
    return [
      ...lookup(secrets, repository).map(ofSecret),
      ...lookup(sourcedKeyring(nodeConfigOf(node.nodeConfigJson)), repository),
      ...lookup(sourcedKeyring(configs), repository),
    ];
  } catch (error) {
    if (error instanceof DockerConfigError) return 'error';
    throw error;
  }
}

function providersOf({ providers }: ImageManagerNode, step: ImageManagerStep, calls: string[]) {
  const account = step.serviceAccount ?? undefined;
  return providers.map(({ auth, tokenAttributes, ...rest }) => {
    const provider = { ...rest, ...(tokenAttributes && { tokenAttributes }) };
    return createProvider(
      { ...provider, defaultCacheDuration: 0n },
      {
        now: () => 0,
        plugin: recordedPlugin(
          provider,
          () => ({ auth, cacheKeyType: 'Image', cacheDurationMs: 0 }),
          () => calls.push(provider.name),
        ),
        serviceAccounts: recordedServer(() => ({
          account: account && {
            uid: account.uid,
            annotations: new Map(Object.entries(account.annotations ?? {})),
          },
          token: 'fake-token',
        })),
      },
    );
  });
}

function secretOf({ dockerconfigjsonUtf8, ...secret }: ImageManagerStep['imagePullSecrets'][number]) {
  const data = new Map([['.dockerconfigjson', Buffer.from(dockerconfigjsonUtf8)]]);
  return { ...secret, type: 'kubernetes.io/dockerconfigjson', data };
}

function nodeConfigOf(json: string | null | undefined) {
  if (json === null || json === undefined) return [];
  const source = { kind: 'node', file: 'config.json' } as const;
  return [{ source, entries: parseDockerConfigFile(Buffer.from(json), 'config.json') }];
}

function nameOf(image: string): ImageName | undefined {
  try {
    return parseImageName(image);
  } catch (error) {
    if (error instanceof ImageNameError) return undefined;
    throw error;
  }
}

/** applyDefaultImageTag. */
function withTag(image: string, { tag, digest }: ImageName): string {
  return digest === '' && tag !== '' && !image.endsWith(`:${tag}`) ? `${image}:${tag}` : image;
}
