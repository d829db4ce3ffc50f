import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ManifestQuestion, RegistryClient } from '../../agent/registry/client.ts';
import { loginOf } from '../../agent/registry/login.ts';
import { parseManifest } from '../../agent/registry/manifest.ts';
import { unpackedPackage } from '../../scripts/lab/packages.ts';
import { endProcesses, type ProcessIdentity } from '../../scripts/lab/processes.ts';
import { type PushedImage, pushImage } from '../../scripts/lab/push.ts';
import { type Registries, startRegistries } from '../../scripts/lab/registries.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import { certificateFor } from './certificates.ts';
import { clientFor, fake, plainHttp, temporaryFolder } from './scene.ts';

let folder: string;
let registries: Registries;
let image: PushedImage;
const processes: ProcessIdentity[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-registries-'));
  const { root } = await unpackedPackage('docker-registry', ['bookworm'], /^2\./);
  const program = join(root, 'usr/bin/docker-registry');
  registries = await startRegistries({
    program,
    folder,
    onProcess: async (started) => void processes.push(started),
  });
  for (const registry of [registries.htpasswd, registries.anonymous, registries.token]) {
    image = await pushImage(registry, 'team-a/app', 'v1');
  }
}, 180_000);

afterAll(async () => {
  await registries?.stop();
  // Those of a start that failed half-way.
  await endProcesses(processes, 'SIGKILL', 5_000);
  await rm(folder, { recursive: true, force: true });
});

let client: RegistryClient;
beforeEach(async () => {
  const { htpasswd, anonymous, token } = registries;
  client = await clientFor({
    ...plainHttp(htpasswd.host),
    ...plainHttp(anonymous.host),
    ...plainHttp(token.host),
  });
});

type Who = 'alice' | 'bob' | 'nobody' | 'a guesser';

function question(registry: Registry, who: Who, more: Partial<ManifestQuestion> = {}): ManifestQuestion {
  const password = who === 'a guesser' ? 'guess' : registry.users[who];
  const username = who === 'a guesser' ? 'alice' : who;
  const login = password === undefined ? undefined : loginOf({ username, password }, `key of ${who}`);
  return {
    registry: registry.host,
    repository: 'team-a/app',
    reference: image.manifestDigest,
    ...(login && { login }),
    ...more,
  };
}

/** Asks, and returns the answer with what the registry's own log says it cost. */
async function asking(registry: Registry, asked: ManifestQuestion): Promise<object> {
  const mark = await registry.mark();
  const answer = await client.manifest(asked);
  const logged = await registry.requests(mark);
  return { ...answer, logged: logged.map(({ status }) => status) };
}

describe('a real registry with htpasswd', () => {
  it.each<[Who, object]>([
    ['alice', { answer: 'granted', asked: 'withCredential', logged: [401, 200] }],
    ['a guesser', { answer: 'unauthorized', by: 'registry', logged: [401, 401] }],
    ['nobody', { answer: 'unauthorized', by: 'registry', logged: [401] }],
  ])('asked by %s', async (who, expected) => {
    expect(await asking(registries.htpasswd, question(registries.htpasswd, who))).toMatchObject(expected);
  });

  it('is asked once for each question when it is known', async () => {
    const { htpasswd } = registries;
    await asking(htpasswd, question(htpasswd, 'alice'));
    expect(await asking(htpasswd, question(htpasswd, 'alice'))).toMatchObject({
      answer: 'granted',
      logged: [200],
    });
    expect(await asking(htpasswd, question(htpasswd, 'a guesser'))).toMatchObject({
      answer: 'unauthorized',
      logged: [401],
    });
    expect(await asking(htpasswd, question(htpasswd, 'nobody'))).toMatchObject({
      answer: 'unauthorized',
      logged: [401],
    });
  });

  it('takes a right away at once', async () => {
    const { htpasswd } = registries;
    await htpasswd.setPassword('carol', 'before');
    const carol = loginOf({ username: 'carol', password: 'before' }, 'key of carol');
    const asked = question(htpasswd, 'nobody', carol && { login: carol });
    expect(await asking(htpasswd, asked)).toMatchObject({ answer: 'granted' });
    await htpasswd.setPassword('carol', 'after');
    expect(await asking(htpasswd, asked)).toMatchObject({ answer: 'unauthorized' });
  });

  it.each<[string, Partial<ManifestQuestion>]>([
    ['a tag', { reference: 'nowhere' }],
    ['a digest', { reference: `sha256:${'0'.repeat(64)}` }],
    ['a repository', { repository: 'team-a/nowhere' }],
  ])('says so when it lacks %s', async (_, more) => {
    const { htpasswd } = registries;
    expect(await asking(htpasswd, question(htpasswd, 'alice', more))).toMatchObject({
      answer: 'notFound',
      status: 404,
      logged: [401, 404],
    });
  });
});

describe('a real registry for everybody', () => {
  it('grants to everybody', async () => {
    const { anonymous } = registries;
    expect(await asking(anonymous, question(anonymous, 'nobody'))).toMatchObject({
      answer: 'granted',
      asked: 'anonymously',
      logged: [200],
    });
  });

  it('gives the manifest for a tag', async () => {
    const { anonymous } = registries;
    const answer = await client.manifest(question(anonymous, 'nobody', { reference: 'v1' }));
    expect(answer).toMatchObject({ answer: 'granted', manifest: { digest: image.manifestDigest } });
  });

  it('gives config and layers, which are what their digests say', async () => {
    const { anonymous } = registries;
    const answer = await client.manifest(question(anonymous, 'nobody'));
    const parsed = answer.answer === 'granted' ? parseManifest(answer.manifest.bytes) : undefined;
    if (parsed?.kind !== 'image') throw new Error('no image');
    const fetched = async (digest: string): Promise<Buffer> => {
      const pieces: Uint8Array[] = [];
      const blob = await client.blob(
        { registry: anonymous.host, repository: 'team-a/app', digest },
        (piece) => {
          pieces.push(piece);
        },
      );
      expect(blob).toMatchObject({ answer: 'granted', size: Buffer.concat(pieces).length });
      return Buffer.concat(pieces);
    };
    expect(parsed.config.digest).toBe(image.configDigest);
    const config = JSON.parse((await fetched(parsed.config.digest)).toString());
    const layers = await Promise.all(parsed.layers.map(({ digest }) => fetched(digest)));
    const diffIds = layers.map(
      (layer) => `sha256:${createHash('sha256').update(gunzipSync(layer)).digest('hex')}`,
    );
    expect(diffIds).toEqual(config.rootfs.diff_ids);
  });

  it('says so when it lacks a blob', async () => {
    const { anonymous } = registries;
    const digest = `sha256:${'0'.repeat(64)}`;
    const answer = await client.blob(
      { registry: anonymous.host, repository: 'team-a/app', digest },
      () => {},
    );
    expect(answer).toMatchObject({ answer: 'notFound', spent: { requests: 1 } });
  });
});

describe('a real registry with a token server', () => {
  type Costs = object & { tokens?: number };
  const asked = async (who: Who, more: Partial<ManifestQuestion> = {}): Promise<Costs> => {
    const before = registries.token.tokenRequests().length;
    const answer = await asking(registries.token, question(registries.token, who, more));
    return { ...answer, tokens: registries.token.tokenRequests().length - before };
  };

  it.each<[string, Who, object]>([
    [
      'grants to who may',
      'alice',
      { answer: 'granted', asked: 'withCredential', logged: [401, 200], tokens: 1 },
    ],
    [
      'refuses a wrong password by its token server',
      'a guesser',
      { answer: 'unauthorized', by: 'tokenServer', logged: [401], tokens: 1 },
    ],
    ['refuses who may not', 'bob', { answer: 'unauthorized', by: 'registry', logged: [401, 401], tokens: 1 }],
    ['refuses nobody', 'nobody', { answer: 'unauthorized', by: 'registry', logged: [401, 401], tokens: 1 }],
  ])('%s', async (_, who, expected) => {
    expect(await asked(who)).toMatchObject(expected);
  });

  it('refuses by its token server as GitLab does', async () => {
    registries.token.setPolicy({ anonymous: 'refuse', withoutRight: 'forbidden' });
    try {
      expect(await asked('bob')).toMatchObject({
        answer: 'forbidden',
        by: 'tokenServer',
        logged: [401],
        tokens: 1,
      });
      expect(await asked('nobody')).toMatchObject({
        answer: 'unauthorized',
        by: 'tokenServer',
        logged: [],
        tokens: 1,
      });
    } finally {
      registries.token.setPolicy({ anonymous: 'emptyToken', withoutRight: 'emptyToken' });
    }
  });

  it('is asked once for each question while the token lives', async () => {
    await asked('alice');
    expect(await asked('alice')).toMatchObject({ answer: 'granted', logged: [200], tokens: 0 });
    expect(await asked('alice', { reference: 'v1' })).toMatchObject({
      answer: 'granted',
      logged: [200],
      tokens: 0,
    });
    expect(await asked('alice', { freshToken: true })).toMatchObject({
      answer: 'granted',
      logged: [200],
      tokens: 1,
    });
  });
});

/** A reverse proxy, as operators put one in front of a registry. */
function front(to: () => Registry, rewrite: (path: string) => string = (path) => path): RequestListener {
  return (incoming, outgoing) => {
    const [host, port] = to().host.split(':');
    const { method, headers, url = '/' } = incoming;
    const upstream = httpRequest({ host, port, method, headers, path: rewrite(url) }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      pipeline(answer, outgoing, () => {});
    });
    upstream.on('error', () => outgoing.destroy());
    pipeline(incoming, upstream, () => {});
  };
}

describe('a real registry behind a front', () => {
  const { hosts, ask } = {
    hosts: (host: string, more: string): Record<string, string> => ({
      [host]: `server = "https://${host}"\n${more}\n`,
    }),
    ask: async (files: Record<string, string>, host: string, who: Who): Promise<object> => {
      const asker = await clientFor(files);
      return asker.manifest({ ...question(registries.htpasswd, who), registry: host });
    },
  };

  it('with TLS under a private authority', async () => {
    const { certificate, key, certificateFile } = await certificateFor(await temporaryFolder(), 'front', [
      'IP:127.0.0.1',
    ]);
    const { host } = await fake(
      front(() => registries.htpasswd),
      { tls: { cert: certificate, key } },
    );
    const files = hosts(host, `ca = "${certificateFile}"`);
    expect(await ask(files, host, 'alice')).toMatchObject({ answer: 'granted', spent: { requests: 2 } });
    expect(await ask(files, host, 'a guesser')).toMatchObject({ answer: 'unauthorized' });
    expect(await ask(hosts(host, ''), host, 'alice')).toMatchObject({
      answer: 'unavailable',
      seen: 'certificate',
    });
  });

  it('that wants a client certificate', async () => {
    const place = await temporaryFolder();
    const { certificate, key, certificateFile } = await certificateFor(place, 'front', ['IP:127.0.0.1']);
    const node = await certificateFor(place, 'node', ['DNS:node.test']);
    const tls = { cert: certificate, key, requestCert: true, ca: node.certificate };
    const { host } = await fake(
      front(() => registries.htpasswd),
      { tls },
    );
    const files = hosts(
      host,
      `ca = "${certificateFile}"\nclient = [["${node.certificateFile}", "${node.keyFile}"]]`,
    );
    expect(await ask(files, host, 'alice')).toMatchObject({ answer: 'granted' });
    expect(await ask(hosts(host, `ca = "${certificateFile}"`), host, 'alice')).toMatchObject({
      answer: 'unavailable',
    });
  });

  it('under a path of its own (override_path)', async () => {
    const underApi = (path: string): string => path.replace(/^\/artifacts\/docker\//, '/v2/');
    const { host, heard } = await fake(front(() => registries.htpasswd, underApi));
    const files = { [host]: `server = "http://${host}/artifacts/docker"\noverride_path = true\n` };
    expect(await ask(files, host, 'alice')).toMatchObject({ answer: 'granted' });
    expect(await ask(files, host, 'nobody')).toMatchObject({ answer: 'unauthorized' });
    expect(heard.every(({ path }) => path.startsWith('/artifacts/docker/team-a/app/manifests/'))).toBe(true);
  });

  it('is asked for itself, and its mirrors are not', async () => {
    const mirror = await fake(front(() => registries.anonymous));
    const { host } = registries.htpasswd;
    const toml = `server = "http://${host}"\n[host."http://${mirror.host}"]\n  capabilities = ["pull", "resolve"]\n`;
    expect(await ask({ [host]: toml }, host, 'a guesser')).toMatchObject({ answer: 'unauthorized' });
    expect(mirror.heard).toEqual([]);
  });

  it('is spoken for by a mirror of authority, and asked where that has no answer', async () => {
    let isUp = true;
    const through = front(() => registries.htpasswd);
    const mirror = await fake((request, response) => {
      if (isUp) through(request, response);
      else response.writeHead(503).end();
    });
    const { host } = registries.htpasswd;
    const toml = `server = "http://127.0.0.1:1"\n[host."http://${mirror.host}"]\n[host."http://${host}"]\n`;
    const asker = await clientFor({ [host]: toml }, { authoritativeMirrors: [mirror.host] });
    expect(await asker.manifest(question(registries.htpasswd, 'alice'))).toMatchObject({ answer: 'granted' });
    expect(mirror.heard).toHaveLength(2);
    expect(mirror.heard[0]?.path).toContain(`?ns=${encodeURIComponent(host)}`);
    isUp = false;
    const mark = await registries.htpasswd.mark();
    expect(await asker.manifest(question(registries.htpasswd, 'alice'))).toMatchObject({ answer: 'granted' });
    expect(await registries.htpasswd.requests(mark)).toHaveLength(2);
  });
});

describe('a real registry that is down', () => {
  it('is an outage, and answers again when it is up', async () => {
    const { anonymous } = registries;
    await anonymous.stop();
    expect(await client.manifest(question(anonymous, 'nobody'))).toMatchObject({
      answer: 'unavailable',
      seen: 'connect',
    });
    await anonymous.start();
    expect(await client.manifest(question(anonymous, 'nobody'))).toMatchObject({ answer: 'granted' });
  });
});
