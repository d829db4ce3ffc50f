import type { CredentialSource, SourcedCredential, TrackedCredential } from './types.ts';

/**
 * What a source means for the records: kubelet's trackedToImagePullCreds (what is written after a pull) and
 * EnsureImageExists' getPodCredentials (what the records are asked with),
 * pkg/kubelet/images/image_manager.go.
 */

type Coordinates = { readonly namespace: string; readonly name: string; readonly uid: string };

/** As records/types.ts ImagePullCredentials, with the hash as it stands in the credential. */
export type Grant = {
  readonly nodePodsAccessible?: true;
  readonly kubernetesSecrets?: readonly (Coordinates & { readonly credentialHash: string })[];
  readonly kubernetesServiceAccounts?: readonly Coordinates[];
};

/** Whose right it is when a pull with this credential succeeds; undefined: it was anonymous. */
export function grantOf(credential: SourcedCredential | undefined): Grant {
  const source = credential?.source;
  if (credential === undefined || source === undefined || source.kind === 'node') {
    return { nodePodsAccessible: true };
  }
  return source.kind === 'secret'
    ? {
        kubernetesSecrets: [{ ...coordinatesOf(source), credentialHash: credential.credentialHash }],
      }
    : { kubernetesServiceAccounts: [coordinatesOf(source)] };
}

/**
 * What the pod shows for itself. The node's credentials are nobody's, and of several service accounts (there
 * is one in a pod, but a plugin could be given it twice) the first counts.
 */
export function podCredentialsOf(credentials: readonly SourcedCredential[]): {
  readonly secrets: readonly (Coordinates & { readonly credentialHash: string })[];
  readonly serviceAccount?: Coordinates;
} {
  const secrets = credentials.flatMap(({ source, credentialHash }) =>
    source.kind === 'secret' ? [{ ...coordinatesOf(source), credentialHash }] : [],
  );
  const account = credentials.map(({ source }) => source).find((source) => source.kind === 'serviceAccount');
  return account?.kind === 'serviceAccount'
    ? { secrets, serviceAccount: coordinatesOf(account) }
    : { secrets };
}

/** An imagePullSecret's credential among those of other sources. */
export function ofSecret({ credential, secret, credentialHash }: TrackedCredential): SourcedCredential {
  return { credential, credentialHash, source: { kind: 'secret', ...secret } };
}

/** For people: `with the node's credentials (provider ecr)`. */
export function describeSource(source: CredentialSource): string {
  switch (source.kind) {
    case 'secret':
      return `with secret ${source.namespace}/${source.name}`;
    case 'serviceAccount':
      return `with service account ${source.namespace}/${source.name} through provider ${source.provider}`;
    case 'node':
      return 'file' in source
        ? `with the node's credentials (${source.file})`
        : `with the node's credentials (provider ${source.provider})`;
  }
}

function coordinatesOf({ namespace, name, uid }: Coordinates): Coordinates {
  return { namespace, name, uid };
}
