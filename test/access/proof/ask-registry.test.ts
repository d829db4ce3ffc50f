import { describe, expect, it } from 'vitest';
import type { Name } from '../../../agent/access/names.ts';
import { askRegistry, type RegistryToAsk } from '../../../agent/access/proof/ask-registry.ts';
import type { ManifestQuestion } from '../../../agent/registry/client.ts';
import { digest, imageRef, questionOf } from './scene.ts';

type ManifestAnswer = Awaited<ReturnType<RegistryToAsk['manifest']>>;

const spent = { requests: 1, tokenRequests: 0, bytes: 0 };
const second = `sha256:${'e'.repeat(64)}`;
const other = `sha256:${'f'.repeat(64)}`;
const notFound: ManifestAnswer = { answer: 'notFound', by: 'registry', status: 404, spent };
const isDown: ManifestAnswer = { answer: 'unavailable', seen: 'timeout', message: 'too slow', spent };

function manifestOf(config: string, under = other): ManifestAnswer {
  const mediaType = 'application/vnd.oci.image.config.v1+json';
  const manifest = { schemaVersion: 2, config: { mediaType, digest: config, size: 1 }, layers: [] };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { answer: 'granted', asked: 'withCredential', manifest: { digest: under, bytes }, spent };
}

function indexOf(...digests: string[]): ManifestAnswer {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifests = digests.map((of) => ({ mediaType, digest: of, size: 1 }));
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests };
  const bytes = Buffer.from(JSON.stringify(index));
  return { answer: 'granted', asked: 'withCredential', manifest: { digest: other, bytes }, spent };
}

/** A registry that has these references, and what it was asked. */
function registryOf(has: Record<string, ManifestAnswer>) {
  const questions: ManifestQuestion[] = [];
  const registry: RegistryToAsk = {
    async manifest(question) {
      questions.push(question);
      return has[question.reference] ?? notFound;
    },
  };
  return { registry, questions };
}

async function said(has: Record<string, ManifestAnswer>, about: Partial<Name> = {}) {
  const { registry, questions } = registryOf(has);
  const { answer } = await askRegistry(registry, questionOf({ name: { ...questionOf().name, ...about } }));
  return [answer, ...questions.map(({ reference }) => reference)];
}

describe('the registry itself', () => {
  it("is asked for the content's digest, with the pod's credential", async () => {
    const { registry, questions } = registryOf({ [digest]: manifestOf(imageRef, digest) });
    expect(await askRegistry(registry, questionOf())).toMatchObject({ answer: 'granted', to: 'credential' });
    expect(questions).toMatchObject([
      { registry: 'reg.example', repository: 'team-a/app', reference: digest, login: { username: 'alice' } },
    ]);
  });

  it('is asked for the next digest where it has lost one, and for no tag then', async () => {
    expect(await said({ [second]: manifestOf(imageRef, second) }, { digests: [digest, second] })).toEqual([
      'granted',
      digest,
      second,
    ]);
  });

  it('that is down says nothing, whatever it was asked for', async () => {
    expect(await said({ [digest]: isDown })).toEqual(['unverifiable', digest]);
    expect(await said({ '1': isDown })).toEqual(['unverifiable', digest, '1']);
  });

  it('that has neither digest nor tag refuses', async () => {
    expect(await said({})).toEqual(['refused', digest, '1']);
    expect(await said({}, { tag: undefined })).toEqual(['refused', digest]);
  });
});

describe('a tag, where the digest is lost', () => {
  it('decides by the config that its manifest names', async () => {
    expect(await said({ '1': manifestOf(imageRef) })).toEqual(['granted', digest, '1']);
    expect(await said({ '1': manifestOf(other) })).toEqual(['refused', digest, '1']);
  });

  it('decides by one of the platforms of an index, eight at most', async () => {
    expect(await said({ '1': indexOf(second), [second]: manifestOf(imageRef, second) })).toEqual([
      'granted',
      digest,
      '1',
      second,
    ]);
    const many = Array.from({ length: 20 }, (_, n) => `sha256:${n.toString(16).padStart(64, '0')}`);
    expect(await said({ '1': indexOf(...many) })).toEqual(['refused', digest, '1', ...many.slice(0, 8)]);
  });
});
