import { describe, expect, it } from 'vitest';
import { createAllowance } from '../../../agent/access/bytes/allowance.ts';
import { createBytes, type Showing } from '../../../agent/access/bytes/bytes.ts';
import type { PodCredential } from '../../../agent/access/pod-credential.ts';
import type { AccessRequest } from '../../../agent/access/request.ts';
import type { Right } from '../../../agent/access/right.ts';
import { type AllowedReason, allowed } from '../../../agent/access/verdict.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import type { RegistryAnswer } from '../../../agent/registry/answer.ts';
import type { RegistryClient } from '../../../agent/registry/client.ts';
import type { RuntimeImage } from '../../../agent/runtime/runtime.ts';
import { openLedger, piece } from './scene.ts';

const MINE = 'mine.example/app';
const THEIRS = 'theirs.example/app';

const spent = { requests: 1, tokenRequests: 0, bytes: 1 };
const notFound = { answer: 'notFound', by: 'registry', status: 404, spent } as const;
const unauthorized = { answer: 'unauthorized', by: 'registry', status: 401, spent } as const;
const isDown = { answer: 'unavailable', seen: 'connect', message: 'no connection', spent } as const;

const credential = (user: string): PodCredential => ({
  credential: { username: user, password: `${user}'s`, email: '' },
  source: { kind: 'secret', uid: user, namespace: 'team', name: user },
  key: user,
});

type Says = 'holds' | 'lacksLayers' | 'isDown' | 'refuses';

/**
 * Bytes over the real ledger and records. The registry is a double: `piece(word)` is the digest of the word,
 * so that it can serve each piece as a layer that is not packed.
 */
function scene(registrySays: (user: string | undefined) => Says = () => 'holds') {
  const node = openLedger();
  const asked: string[] = [];
  const showings: Showing[] = [];
  const state = {
    credentials: [credential('alice')],
    trusted: new Set<string>(),
    forAll: new Map<string, readonly string[]>(),
    open: new Set<string>(),
    runtime: undefined as RuntimeError | undefined,
  };
  const listed = (imageRef: string): RuntimeImage | undefined => {
    const image = [...node.state.images.values()].find(({ config }) => piece(config) === imageRef);
    return (
      image && {
        id: imageRef,
        repoTags: image.names.map((name) => `${name}:1`),
        repoDigests: image.names.map((name) => `${name}@${piece('manifest')}`),
        pinned: false,
      }
    );
  };
  const wordOf = (digest: string): string => {
    const words = [...node.state.images.values()].flatMap(({ config, layers }) => [config, ...layers]);
    return words.find((word) => piece(word) === digest) ?? '';
  };
  const described = (word: string) => ({ mediaType: 'a/layer', digest: piece(word), size: word.length });
  const answerTo = <Content>(
    user: string | undefined,
    isBlob: boolean,
    content: Content,
  ): RegistryAnswer<Content> => {
    const says = registrySays(user);
    if (says === 'isDown') return isDown;
    if (says === 'refuses') return unauthorized;
    if (says === 'lacksLayers' && isBlob) return notFound;
    return { answer: 'granted', asked: 'withCredential', ...content, spent };
  };
  const userOf = (login: Parameters<RegistryClient['manifest']>[0]['login']) =>
    login?.kind === 'password' ? login.username : undefined;
  const registry: RegistryClient = {
    async manifest({ registry: host, login }) {
      asked.push(`${host} manifest`);
      const [image] = [...node.state.images.values()].filter(({ names }) =>
        names.some((name) => name.startsWith(host)),
      );
      const { config = '', layers = [] } = image ?? {};
      const manifest = { schemaVersion: 2, config: described(config), layers: layers.map(described) };
      return answerTo(userOf(login), false, {
        manifest: { digest: piece('manifest'), bytes: Buffer.from(JSON.stringify(manifest)) },
      });
    },
    async blob({ registry: host, login, digest }, sink) {
      const word = wordOf(digest);
      asked.push(`${host} ${word}`);
      const answer = answerTo(userOf(login), true, { size: word.length });
      if (answer.answer === 'granted') await sink(Buffer.from(word));
      return answer;
    },
    close: async () => undefined,
  };
  const bytes = createBytes({
    runtime: {
      async imageStatus(imageRef) {
        if (state.runtime) throw state.runtime;
        return listed(imageRef);
      },
    },
    registry,
    ledger: node.ledger,
    readCredentials: async () => ({
      credentials: state.credentials,
      imagePullSecrets: state.credentials.length,
      missing: [],
      version: '1',
      isCached: false,
    }),
    allowance: createAllowance({ bytesPerHour: 2 ** 30 }, () => 0),
    isTrusted: (repository) => state.trusted.has(repository),
    open: {
      isOpen: ({ imageRef }) => state.open.has(imageRef),
      grantedToAllBy: ({ imageRef }) => state.forAll.get(imageRef) ?? [],
    },
    onShown: (showing) => showings.push(showing),
  });
  const ask = (
    config: string,
    repository: string,
    more: { reason?: AllowedReason; namespace?: string } = {},
  ) => {
    const { reason = 'repullSucceeded', namespace = 'team' } = more;
    const right: Right = { kind: 'verdict', verdict: allowed(reason, ''), repository, pullRequired: true };
    return bytes.ensureShown(requestOf(piece(config), repository, namespace), right);
  };
  return { ...node, given: state, asked, showings, ask };
}

function requestOf(imageRef: string, repository: string, namespace: string): AccessRequest {
  const container = { name: 'app', image: `${repository}:1`, imagePullPolicy: 'IfNotPresent' } as const;
  return {
    pod: {
      namespace,
      name: 'p',
      uid: namespace,
      serviceAccountName: 'default',
      imagePullSecrets: [],
      containers: [],
    },
    container,
    imageRef,
    urgent: true,
  };
}

/** Theirs has brought image and layer; mine names the layer in an image of its own. */
async function mineNamesTheirs(registrySays?: (user: string | undefined) => Says) {
  const made = scene(registrySays);
  made.has('b', [THEIRS], ['app']);
  await made.ledger.look();
  made.minutes(10);
  made.has('a', [MINE], ['own', 'app']);
  return made;
}

describe('nobody is asked', () => {
  it('where the registry brought all of it, whatever came of it at other registries', async () => {
    const { has, ask, asked } = scene();
    has('a', [MINE], ['own']);
    expect(await ask('a', MINE)).toBeUndefined();
    expect(asked).toEqual([]);
  });

  it.each(['preloaded', 'verificationPolicy'] as const)(
    'where the image is for everybody: %s',
    async (reason) => {
      const { ask, asked, state } = await mineNamesTheirs();
      const { lists } = state;
      expect(await ask('a', MINE, { reason })).toBeUndefined();
      expect([asked, state.lists]).toEqual([[], lists]);
    },
  );

  it('where the operator trusts the registry, or every image with the pieces is open', async () => {
    const trusted = await mineNamesTheirs();
    trusted.given.trusted.add(MINE);
    expect(await trusted.ask('a', MINE)).toBeUndefined();
    const open = await mineNamesTheirs();
    open.given.open.add(piece('b'));
    expect(await open.ask('a', MINE)).toBeUndefined();
    expect([trusted.asked, open.asked]).toEqual([[], []]);
  });

  it('where it cannot be told who brought it, and all who can have grant it to everybody', async () => {
    const { has, ledger, ask, asked, given } = scene();
    has('a', [MINE, THEIRS], ['base']);
    await ledger.look();
    given.forAll.set(piece('a'), ['mine.example', 'theirs.example']);
    expect(await ask('a', MINE)).toBeUndefined();
    expect(asked).toEqual([]);
  });
});

describe('the registry is asked to show what it has not brought', () => {
  it('once, and what it has shown is on record', async () => {
    const { ask, asked, showings } = await mineNamesTheirs();
    expect(await Promise.all([ask('a', MINE), ask('a', MINE)])).toEqual([undefined, undefined]);
    expect(asked).toEqual(['mine.example manifest', 'mine.example app']);
    expect(await ask('a', MINE, { namespace: 'another' })).toBeUndefined();
    expect(asked).toHaveLength(2);
    expect(showings).toMatchObject([{ registry: 'mine.example', namespace: 'team', outcome: 'shown' }]);
  });

  it('once, whoever of several pods and namespaces asks at the same time', async () => {
    const { ask, asked } = await mineNamesTheirs();
    const namespaces = ['team', 'another', 'third'];
    await Promise.all(namespaces.map((namespace) => ask('a', MINE, { namespace })));
    expect(asked).toEqual(['mine.example manifest', 'mine.example app']);
  });

  it('and nothing is shown of an image that left the node while another pod was waited for', async () => {
    let leave = async (): Promise<void> => undefined;
    const { ask, loses, ledger } = await mineNamesTheirs(() => {
      void leave();
      return 'lacksLayers';
    });
    leave = async () => {
      loses('a');
      await ledger.keepOnly([]);
    };
    const [, waiting] = await Promise.all([ask('a', MINE), ask('a', MINE, { namespace: 'another' })]);
    expect(waiting).toMatchObject({ verdict: 'unverifiable', reason: 'imageNotPresent' });
  });

  it('where one of those that can have brought it does not grant it to everybody', async () => {
    const { has, ledger, ask, asked, given } = scene();
    has('a', [MINE, THEIRS], ['base']);
    await ledger.look();
    given.forAll.set(piece('a'), ['mine.example']);
    expect(await ask('a', MINE)).toBeUndefined();
    expect(asked).toEqual(['mine.example manifest', 'mine.example a', 'mine.example base']);
  });

  it('and lacks it: denied, and not asked again at once', async () => {
    const { ask, asked } = await mineNamesTheirs(() => 'lacksLayers');
    expect(await ask('a', MINE)).toMatchObject({ verdict: 'denied', reason: 'bytesNotShown' });
    const before = asked.length;
    expect(await ask('a', MINE)).toMatchObject({ verdict: 'denied', reason: 'bytesNotShown' });
    expect(asked).toHaveLength(before);
  });

  it('and lacks it for the one that it lets in: that it refuses another changes nothing', async () => {
    const { ask } = await mineNamesTheirs((user) => (user === 'alice' ? 'lacksLayers' : 'refuses'));
    expect(await ask('a', MINE)).toMatchObject({ verdict: 'denied', reason: 'bytesNotShown' });
  });

  it('where its manifest names other blobs, also where the name was not listed at first', async () => {
    const other = 'theirs.example/other';
    const { has, pulled, state, ledger, ask } = scene(() => 'lacksLayers');
    pulled(THEIRS, ['app']);
    has('b', [THEIRS], ['app']);
    expect(await ask('b', other)).toBeUndefined();
    has('b', [THEIRS, other], ['app']);
    state.manifestsAt.set(other, ['made up']);
    await ledger.look();
    expect(await ask('b', other)).toMatchObject({ verdict: 'denied', reason: 'bytesNotShown' });
  });

  it('and is away, or refuses the credentials: nobody can say', async () => {
    for (const says of ['isDown', 'refuses'] as const) {
      const { ask } = await mineNamesTheirs(() => says);
      expect(await ask('a', MINE)).toMatchObject({ verdict: 'unverifiable', reason: 'registryUnavailable' });
    }
  });

  it('with each of the pod’s credentials, one of which may be the one that was granted', async () => {
    const made = await mineNamesTheirs((user) => (user === 'bob' ? 'holds' : 'refuses'));
    made.given.credentials = [credential('alice'), credential('bob')];
    expect(await made.ask('a', MINE)).toBeUndefined();
  });
});

describe('what is not known', () => {
  it('of an image that does not tell its pieces, nobody can say what it consists of', async () => {
    const { has, ask, state } = scene();
    has('a', [MINE], ['own']);
    state.unreadable.add(piece('a'));
    expect(await ask('a', MINE)).toMatchObject({ verdict: 'unverifiable', reason: 'runtimeUnavailable' });
  });

  it('of an image whose names the runtime does not tell any more, nobody is asked', async () => {
    const { ask, given, asked } = await mineNamesTheirs();
    given.runtime = new RuntimeError('unreachable', 'no socket');
    expect(await ask('a', MINE)).toMatchObject({ verdict: 'unverifiable', reason: 'runtimeUnavailable' });
    expect(asked).toEqual([]);
  });

  it('of a container that kubelet pulled for, the content must go by the name of the spec', async () => {
    const { ask } = await mineNamesTheirs();
    expect(await ask('b', MINE, { reason: 'pullPolicyAlways' })).toMatchObject({ reason: 'imageMismatch' });
  });
});
