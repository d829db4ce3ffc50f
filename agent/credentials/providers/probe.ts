import type { ProviderError } from '../../errors.ts';
import { lookup, sourcedKeyring } from '../keyring.ts';
import type { CredentialSource } from '../types.ts';
import type { PodContext } from './pod-context.ts';
import { askProvider, type PassedOver, type ProviderLookup } from './provider.ts';

/** What came of asking one provider for an image. Holds no credential. */
export type Probe = { readonly provider: string } & (
  | {
      readonly outcome: 'answered';
      readonly source: CredentialSource;
      /** How many of its credentials are for the image that was asked about. */
      readonly credentials: number;
      /** How long the answer is kept, ms; 0 for one that is not. */
      readonly goodForMs: number;
      readonly tookMs: number;
    }
  | { readonly outcome: 'passedOver'; readonly why: Exclude<PassedOver, 'otherImage'> }
  | { readonly outcome: 'failed'; readonly error: ProviderError; readonly tookMs: number }
);

/** A pod of no service account, as a static pod is. */
const NO_POD: PodContext = { namespace: '', name: '', uid: '', serviceAccountName: '' };

/**
 * Asks all providers that match the image, as for a pod that starts. Without a pod a provider that needs a
 * service account is passed over.
 *
 * @param repository normalized
 * @param now ms, of a clock that only goes forward
 */
export async function probeProviders(
  providers: readonly ProviderLookup[],
  repository: string,
  pod: PodContext | undefined,
  now: () => number,
): Promise<readonly Probe[]> {
  const probes = providers.map(async (provider): Promise<readonly Probe[]> => {
    const startedAt = now();
    const answer = await askProvider(provider, repository, pod ?? NO_POD);
    const tookMs = now() - startedAt;
    const { name } = provider;
    if ('error' in answer) {
      return [{ provider: name, outcome: 'failed', error: answer.error, tookMs }];
    }
    const { provided } = answer;
    if ('passedOver' in provided) {
      const { passedOver: why } = provided;
      return why === 'otherImage' ? [] : [{ provider: name, outcome: 'passedOver', why }];
    }
    const { source, goodForMs } = provided;
    const credentials = lookup(sourcedKeyring([provided]), repository).length;
    return [{ provider: name, outcome: 'answered', source, credentials, goodForMs, tookMs }];
  });
  return (await Promise.all(probes)).flat();
}
