import { describe, expect, it } from 'vitest';
import { askToShow, type ShowingQuestion } from '../../../agent/access/bytes/showing.ts';
import type { RegistryAnswer } from '../../../agent/registry/answer.ts';
import type { RegistryClient } from '../../../agent/registry/client.ts';
import { type Pushed, pushLayers } from './pushed.ts';
import { useRealRegistries } from './real-registries.ts';
import { piece } from './scene.ts';

const real = useRealRegistries();
const MiB = 2 ** 20;

function questionOf(
  { repository, digest, pieces }: Pushed,
  more: Partial<ShowingQuestion> = {},
): ShowingQuestion {
  return {
    name: { repository, digests: [digest], tag: undefined },
    pieces,
    missing: new Set([pieces.config, ...pieces.layers]),
    credential: undefined,
    budget: 100 * MiB,
    ...more,
  };
}

/** Blobs that the real registry was asked for since the mark, in order. */
async function blobsSince(mark: { readonly offset: number }): Promise<readonly string[]> {
  const requests = await real().registries.anonymous.requests(mark);
  return requests.flatMap(({ method, path }) =>
    method === 'GET' ? (/blobs\/(sha256:\w+)/.exec(path)?.[1] ?? []) : [],
  );
}

describe('a registry that has the content shows it', () => {
  it('gzip, zstd and plain layers, fewest bytes first, and no more than is missing', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'show/packed', [
      { word: 'large', bytes: 3 * MiB },
      { word: 'zstd', packing: 'zstd', bytes: 20_000 },
      { word: 'plain', packing: 'plain' },
      { word: 'open' },
    ]);
    const [large = '', zstd = '', plain = ''] = image.pieces.layers;
    const missing = new Set([large, zstd, plain, image.pieces.config]);
    const mark = await registries.anonymous.mark();
    const shown = await askToShow(client, questionOf(image, { missing }));
    expect(shown).toMatchObject({ outcome: 'shown', pieces: [image.pieces.config, plain, zstd, large] });
    expect(shown.bytes).toBeGreaterThan(3 * MiB);
    expect(await blobsSince(mark)).toEqual(shown.pieces.map((one) => image.blobs.get(one)));
  });

  it('behind an index, at the platform of this node', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'show/index', [{ word: 'platform' }], {
      inIndex: true,
    });
    expect(await askToShow(client, questionOf(image))).toMatchObject({ outcome: 'shown' });
  });
});

describe('a registry that does not', () => {
  it('lacks the manifest', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'lack/manifest', [{ word: 'any' }]);
    const question = questionOf({ ...image, digest: piece('another manifest') });
    expect(await askToShow(client, question)).toMatchObject({ outcome: 'lacks', pieces: [] });
  });

  it.each([
    ['another config', (image: Pushed) => ({ ...image.pieces, config: piece('victim') })],
    [
      'fewer layers',
      (image: Pushed) => ({ ...image.pieces, layers: [...image.pieces.layers, piece('victim')] }),
    ],
    ['another layer', (image: Pushed) => ({ ...image.pieces, layers: [piece('victim')] })],
  ])('has %s: it is not asked for more than it takes to see that', async (_name, piecesOf) => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'lack/other', [{ word: 'own' }]);
    expect(await askToShow(client, questionOf({ ...image, pieces: piecesOf(image) }))).toMatchObject({
      outcome: 'lacks',
    });
  });

  it('does not give it to this pod, which is another matter', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.htpasswd, 'show/private', [{ word: 'private' }]);
    expect(await askToShow(client, questionOf(image))).toMatchObject({ outcome: 'refused', pieces: [] });
  });

  it('is away, which shows nothing either', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'show/away', [{ word: 'away' }]);
    await registries.anonymous.stop();
    expect(await askToShow(client, questionOf(image))).toMatchObject({ outcome: 'unavailable' });
    await registries.anonymous.start();
  });
});

describe('what it costs is bounded', () => {
  it('a piece beyond what may still be fetched is not asked for; what was shown before it counts', async () => {
    const { registries, client } = real();
    const image = await pushLayers(registries.anonymous, 'show/large', [
      { word: 'huge', bytes: 2 * MiB },
      { word: 'small' },
    ]);
    const shown = await askToShow(client, questionOf(image, { budget: MiB }));
    expect(shown).toMatchObject({
      outcome: 'tooLarge',
      pieces: [image.pieces.config, image.pieces.layers[1]],
    });
    expect(shown.bytes).toBeLessThan(MiB);
  });
});

/** A registry double: no real one can be made to send other bytes than a digest says. */
describe('a registry that sends something else', () => {
  const spent = { requests: 1, tokenRequests: 0, bytes: 0 };
  const sending = (seen: 'digestMismatch' | 'disconnected'): RegistryClient => ({
    async manifest({ reference }): Promise<RegistryAnswer<{ manifest: { digest: string; bytes: Buffer } }>> {
      const descriptor = { mediaType: 'application/x', digest: piece('config'), size: 10 };
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] }));
      return { answer: 'granted', asked: 'anonymously', manifest: { digest: reference, bytes }, spent };
    },
    blob: async () => ({ answer: 'unavailable', seen, message: 'as seen', spent }),
    close: async () => undefined,
  });
  const question = questionOf({
    repository: 'reg.example/app',
    digest: piece('manifest'),
    pieces: { config: piece('config'), layers: [] },
    blobs: new Map(),
  });

  it('other bytes than the digest says are its answer; a connection that breaks is none', async () => {
    expect(await askToShow(sending('digestMismatch'), question)).toMatchObject({ outcome: 'lacks' });
    expect(await askToShow(sending('disconnected'), question)).toMatchObject({ outcome: 'unavailable' });
  });
});
