import { isSameImageId } from '../../image/image-id.ts';
import type { RegistryAnswer } from '../../registry/answer.ts';
import type { ReceivedManifest, RegistryClient } from '../../registry/client.ts';
import { loginOf } from '../../registry/login.ts';
import { parseManifest } from '../../registry/manifest.ts';
import type { Seen } from '../../registry/outage.ts';
import type { Name } from '../names.ts';
import { type Answer, type Question, registryOf } from './question.ts';

/** The registry's own word, and what was in the way where there is none. */
export type RegistryWord = Answer & { readonly seen?: Seen };

export type RegistryToAsk = Pick<RegistryClient, 'manifest'>;

type ManifestAnswer = RegistryAnswer<{ readonly manifest: ReceivedManifest }>;

/**
 * Asks the registry itself, over HTTP, for the manifest of the content in use. Its 401 and 403, and 404 to an
 * authorized question, are refusals; only bytes with the right digest are a grant; all else is an outage.
 */
export async function askRegistry(registry: RegistryToAsk, question: Question): Promise<RegistryWord> {
  const { name } = question;
  let refusal: RegistryWord | undefined;
  for (const digest of name.digests) {
    const answer = await manifest(registry, question, digest);
    const word = wordOf(name, answer);
    // A registry may have lost one digest of the content and still hold another.
    if (answer.answer !== 'notFound') return word;
    refusal ??= word;
  }
  return (await askByTag(registry, question)) ?? refusal ?? hasNothing(name);
}

/**
 * Where the registry does not know the digest, its word for the tag decides, if that is the content in use.
 */
async function askByTag(registry: RegistryToAsk, question: Question): Promise<RegistryWord | undefined> {
  const { name, imageRef } = question;
  if (name.tag === undefined) return undefined;
  const answer = await manifest(registry, question, name.tag);
  if (answer.answer !== 'granted') return wordOf(name, answer);
  const isInUse = await isContent(registry, question, answer.manifest, imageRef);
  return isInUse ? granted(name) : otherContent(name);
}

async function isContent(
  registry: RegistryToAsk,
  question: Question,
  { digest, bytes }: ReceivedManifest,
  imageRef: string,
): Promise<boolean> {
  if (question.name.digests.some((known) => known === digest)) return true;
  const parsed = parseManifest(bytes);
  if (parsed?.kind === 'image') return isSameImageId(parsed.config.digest, imageRef);
  const platforms = parsed?.manifests.slice(0, MAX_PLATFORMS) ?? [];
  for (const platform of platforms) {
    const answer = await manifest(registry, question, platform.digest);
    if (answer.answer !== 'granted') continue;
    const image = parseManifest(answer.manifest.bytes);
    if (image?.kind === 'image' && isSameImageId(image.config.digest, imageRef)) return true;
  }
  return false;
}

/** An index lists one manifest a platform, and attestations besides. */
const MAX_PLATFORMS = 8;

function manifest(
  registry: RegistryToAsk,
  { name, credential, again = false }: Question,
  reference: string,
): Promise<ManifestAnswer> {
  const login = credential && loginOf(credential.credential, credential.key);
  const host = registryOf(name);
  const repository = name.repository.slice(host.length + 1);
  const fresh = again && { freshToken: true };
  return registry.manifest({ registry: host, repository, reference, ...(login && { login }), ...fresh });
}

function wordOf(name: Name, answer: ManifestAnswer): RegistryWord {
  switch (answer.answer) {
    case 'granted':
      return granted(name);
    case 'unauthorized':
    case 'forbidden':
    case 'notFound': {
      const speaker = answer.by === 'registry' ? 'the registry' : "the registry's token server";
      return { answer: 'refused', message: `${speaker} answered ${answer.status}` };
    }
    case 'forbiddenByPolicy':
      return {
        answer: 'unverifiable',
        reason: 'registryForbidsImage',
        message: `the registry keeps this image from everybody (HTTP ${answer.status})`,
      };
    case 'unavailable':
      return {
        answer: 'unverifiable',
        reason: 'registryUnavailable',
        message: answer.message,
        seen: answer.seen,
      };
  }
}

function granted({ repository }: Name): RegistryWord {
  return { answer: 'granted', to: 'credential', message: `the registry granted ${repository}` };
}

function hasNothing({ repository }: Name): RegistryWord {
  return { answer: 'refused', message: `the registry has nothing of ${repository} for these credentials` };
}

function otherContent({ repository }: Name): RegistryWord {
  return {
    answer: 'refused',
    message: `the registry has other content under the tag of ${repository} than the container uses`,
  };
}
