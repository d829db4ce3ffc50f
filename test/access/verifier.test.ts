import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPodCredentialsReader } from '../../agent/access/pod-credentials.ts';
import { createRepuller } from '../../agent/access/proof/repull.ts';
import { makePolicy, type VerificationPolicyName } from '../../agent/access/record/policy.ts';
import {
  type Access,
  createVerifier,
  type RotatedSecrets,
  type Verifier,
} from '../../agent/access/verifier.ts';
import { PodSourceError } from '../../agent/errors.ts';
import { openDirectoryPodSource } from '../../agent/pods/directory/source.ts';
import type { PodSource, PullPolicy } from '../../agent/pods/pod-source.ts';
import { type OpenedRecordStore, openRecordStore } from '../../agent/records/sqlite/open.ts';
import type { PullOutcome, PullRequest, RegistryAuth, RuntimeImage } from '../../agent/runtime/runtime.ts';

/**
 * The verifier with the real record store on disk and the real pod source; only the runtime is a double, because here
 * it must answer what a registry cannot be made to answer on demand. With a real one: test/node/.
 */

const repository = 'reg.example.com/team-a/app';
const image = `${repository}:1`;
const digest = `sha256:${'d'.repeat(64)}`;
const imageRef = `sha256:${'1'.repeat(64)}`;
const content: RuntimeImage = {
  id: imageRef,
  repoTags: [image],
  repoDigests: [`${repository}@${digest}`],
  pinned: false,
};

type Registry = (image: string, auth: RegistryAuth | undefined) => PullOutcome | Promise<PullOutcome>;

const granted: PullOutcome = { outcome: 'pulled', imageRef };
const refused: PullOutcome = { outcome: 'refused', speaker: 'unstated', message: '401 Unauthorized' };
const notFound: PullOutcome = { outcome: 'notFound', speaker: 'unstated', message: 'not found' };
const down: PullOutcome = { outcome: 'unavailable', speaker: 'unstated', message: 'connection refused' };

/** Alice and dave may pull, nobody else. */
const private_: Registry = (_image, auth) =>
  (auth?.username === 'alice' && auth.password === 'alicepw') || auth?.username === 'dave'
    ? granted
    : refused;

let folder: string;
let opened: OpenedRecordStore;
let pods: PodSource;
let pulls: string[];
let clock: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-verifier-'));
  await rm(folder, { recursive: true });
  opened = openRecordStore({ stateDir: folder, onNotice: () => undefined });
  opened.store.takeInventory([]);
  pods = openDirectoryPodSource({
    directory: folder,
    onProblem: () => undefined,
    rescanIntervalMs: 3_600_000,
  });
  await putSecret('team-a', 'alice', { username: 'alice', password: 'alicepw' });
  await putSecret('team-c', 'wrong', { username: 'alice', password: 'nope' });
  await putSecret('team-d', 'dave', { username: 'dave', password: 'davepw' });
  await pods.start();
  pulls = [];
  clock = 0;
});

afterEach(async () => {
  await pods.stop();
  opened.store.close();
  await rm(folder, { recursive: true, force: true });
});

async function putSecret(namespace: string, name: string, entry: object | string): Promise<void> {
  const config = typeof entry === 'string' ? entry : JSON.stringify({ auths: { 'reg.example.com': entry } });
  const secret = {
    kind: 'Secret',
    metadata: { namespace, name, uid: `uid-${namespace}-${name}` },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': config },
  };
  await writeFile(join(folder, `${namespace}-${name}.json`), JSON.stringify(secret));
}

type Setup = {
  rotatedSecrets?: RotatedSecrets;
  policy?: VerificationPolicyName;
  allowlist?: string[];
  images?: RuntimeImage[];
  registry?: Registry;
};

function verifierOf(setup: Setup = {}): Verifier {
  const {
    rotatedSecrets = 'trust',
    policy = 'NeverVerifyPreloadedImages',
    allowlist = [],
    images = [content],
    registry = private_,
  } = setup;
  const runtime = {
    imageStatus: async (name: string) =>
      images.find(
        ({ id, repoTags, repoDigests }) =>
          id === name || repoTags.includes(name) || repoDigests.includes(name),
      ),
    pullImage: async ({ image: name, auth }: PullRequest) => {
      pulls.push(`${name} ${auth?.username ?? 'anonymous'}`);
      return registry(name, auth);
    },
  };
  return createVerifier({
    store: opened.store,
    runtime,
    policy: makePolicy(policy, allowlist),
    rotatedSecrets,
    readCredentials: createPodCredentialsReader(pods, opened.keyedHash),
    repull: createRepuller({
      runtime,
      store: opened.store,
      pullTimeoutMs: 1_000,
      maxParallelPulls: 4,
      now: () => clock,
      onRepull: () => undefined,
      onRecordStoreError: () => undefined,
    }),
    onCheck: () => undefined,
    onEnsured: () => undefined,
    onRecordStoreError: () => undefined,
  });
}

type Asked = {
  namespace?: string;
  secrets?: string[];
  policy?: PullPolicy;
  image?: string;
  imageRef?: string;
};

async function ask(verifier: Verifier, asked: Asked = {}): Promise<string> {
  const { verdict } = await access(verifier, asked);
  return `${verdict.verdict} ${verdict.reason}`;
}

function access(verifier: Verifier, asked: Asked = {}): Promise<Access> {
  const { namespace = 'team-a', secrets = ['alice'], policy = 'IfNotPresent' } = asked;
  return verifier.ensureAccess({
    pod: {
      namespace,
      name: 'p',
      uid: 'u',
      serviceAccountName: 'default',
      imagePullSecrets: secrets,
      containers: [],
    },
    container: { name: 'app', image: asked.image ?? image, imagePullPolicy: policy },
    imageRef: asked.imageRef ?? imageRef,
    urgent: true,
  });
}

const teamB: Asked = { namespace: 'team-b', secrets: [] };
const teamC: Asked = { namespace: 'team-c', secrets: ['wrong'] };
const teamD: Asked = { namespace: 'team-d', secrets: ['dave'] };

describe('a private image that tenant A has brought to the node', () => {
  it('is granted to A once by the registry, by the very content in use, and from then on by the record', async () => {
    const verifier = verifierOf();
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
    expect(await ask(verifier)).toBe('allowed recordMatched');
    expect(await ask(verifier, { policy: 'Never' })).toBe('allowed recordMatched');
    expect(pulls).toEqual([`${repository}@${digest} alice`]);
  });

  it('is refused to B without credentials, and to C with a wrong password', async () => {
    const verifier = verifierOf();
    await ask(verifier);
    expect(await ask(verifier, teamB)).toBe('denied registryRefused');
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(pulls.slice(1)).toEqual([`${repository}@${digest} anonymous`, `${repository}@${digest} alice`]);
  });

  it('is denied with pull policy Never without asking, in the words for an image that is absent', async () => {
    const verifier = verifierOf();
    await ask(verifier);
    expect(await ask(verifier, { ...teamB, policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(await ask(verifier, { ...teamD, policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(pulls).toHaveLength(1);
  });

  it('is granted to D, whose secret is another one, after one question', async () => {
    const verifier = verifierOf();
    await ask(verifier);
    expect(await ask(verifier, teamD)).toBe('allowed repullSucceeded');
    expect(await ask(verifier, { ...teamD, policy: 'Never' })).toBe('allowed recordMatched');
    expect(pulls).toHaveLength(2);
  });

  it('is granted to whoever holds the same credentials in another secret', async () => {
    const verifier = verifierOf();
    await ask(verifier);
    await putSecret('team-x', 'copy', { username: 'alice', password: 'alicepw' });
    await pods.getSecret('team-x', 'copy', { fresh: true });
    expect(await ask(verifier, { namespace: 'team-x', secrets: ['copy'] })).toBe('allowed recordMatched');
    expect(pulls).toHaveLength(1);
  });

  it('is judged by the content in use even when its tag has moved on', async () => {
    const moved: RuntimeImage = { ...content, repoTags: [] };
    const newer: RuntimeImage = {
      id: `sha256:${'2'.repeat(64)}`,
      repoTags: [image],
      repoDigests: [],
      pinned: false,
    };
    expect(await ask(verifierOf({ images: [newer, moved] }))).toBe('allowed repullSucceeded');
    expect(pulls).toEqual([`${repository}@${digest} alice`]);
  });

  it('shares one pull between equal questions, and records what each of them has proved', async () => {
    const verifier = verifierOf();
    await putSecret('team-x', 'copy', { username: 'alice', password: 'alicepw' });
    await pods.getSecret('team-x', 'copy', { fresh: true });
    const copy: Asked = { namespace: 'team-x', secrets: ['copy'] };
    const verdicts = await Promise.all([ask(verifier), ask(verifier), ask(verifier, copy)]);
    expect(new Set(verdicts)).toEqual(new Set(['allowed repullSucceeded']));
    expect(pulls).toHaveLength(1);
    const secrets = opened.store.pulledRecord(imageRef)?.credentialMapping.get(repository)?.kubernetesSecrets;
    expect(secrets?.map(({ namespace, name }) => `${namespace}/${name}`).sort()).toEqual([
      'team-a/alice',
      'team-x/copy',
    ]);
    expect(opened.store.listPullIntents()).toEqual([]);
  });
});

describe('a refusal', () => {
  it('is not asked for again before its backoff ends, and at once with another credential', async () => {
    const verifier = verifierOf();
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    clock = 9_999;
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(pulls).toHaveLength(1);
    await putSecret('team-c', 'wrong', { username: 'alice', password: 'alicepw' });
    expect(await ask(verifier, teamC)).toBe('allowed repullSucceeded');
    clock = 10_000;
    expect(await ask(verifier, { namespace: 'team-c', secrets: [] })).toBe('denied registryRefused');
    expect(pulls).toHaveLength(3);
  });

  it('is never based on a secret that has changed in the meantime', async () => {
    let asked = 0;
    const registry: Registry = async (name, auth) => {
      asked += 1;
      if (asked === 1) await putSecret('team-c', 'wrong', { username: 'alice', password: 'alicepw' });
      return private_(name, auth);
    };
    expect(await ask(verifierOf({ registry }), teamC)).toBe('allowed repullSucceeded');
    expect(asked).toBe(2);
  });

  it('needs every credential to be refused', async () => {
    await putSecret('team-a', 'other', { username: 'bob', password: 'bobpw' });
    await pods.getSecret('team-a', 'other', { fresh: true });
    const both: Asked = { secrets: ['other', 'alice'] };
    expect(await ask(verifierOf(), both)).toBe('allowed repullSucceeded');
    expect(pulls.map((pull) => pull.split(' ')[1])).toEqual(['bob', 'alice']);
  });

  it('is none when the pod has more credentials than are tried', async () => {
    const names = Array.from({ length: 21 }, (_, n) => `many-${n}`);
    for (const [n, name] of names.entries())
      await putSecret('team-a', name, { username: `user-${n}`, password: 'x' });
    await pods.getSecret('team-a', 'many-0', { fresh: true });
    expect(await ask(verifierOf({ registry: () => refused }), { secrets: names })).toBe(
      'unverifiable tooManyCredentials',
    );
    expect(pulls).toHaveLength(20);
  });

  it('is none while one of the credentials could not be tried', async () => {
    await putSecret('team-a', 'other', { username: 'bob', password: 'bobpw' });
    await pods.getSecret('team-a', 'other', { fresh: true });
    const registry: Registry = (_image, auth) => (auth?.username === 'bob' ? down : refused);
    expect(await ask(verifierOf({ registry }), { secrets: ['other', 'alice'] })).toBe(
      'unverifiable registryUnavailable',
    );
  });
});

describe('a registry that says "not found"', () => {
  const only =
    (...names: string[]): Registry =>
    (name) =>
      names.includes(name) ? granted : notFound;

  it('is asked for the tag, whose success proves access to the repository', async () => {
    expect(await ask(verifierOf({ registry: only(image) }))).toBe('allowed repullSucceeded');
    expect(pulls).toEqual([`${repository}@${digest} alice`, `${image} alice`]);
  });

  it('denies when it does not have the tag either', async () => {
    expect(await ask(verifierOf({ registry: only() }))).toBe('denied registryRefused');
  });

  it('is never asked for a tag that is not on the node', async () => {
    expect(await ask(verifierOf({ registry: only(`${repository}:2`) }), { image: `${repository}:2` })).toBe(
      'denied registryRefused',
    );
    expect(pulls).toEqual([`${repository}@${digest} alice`]);
  });
});

describe('a container that does not use what its pod names', () => {
  const edited: Asked = { ...teamB, image: 'reg.example.com/public/app:1' };

  it('is denied when its pod may pull none of the names of the content', async () => {
    expect(await ask(verifierOf(), edited)).toBe('denied imageMismatch');
    expect(await ask(verifierOf(), { ...teamB, image: imageRef })).toBe('denied imageMismatch');
  });

  it('is allowed when its pod may pull one of them', async () => {
    expect(await ask(verifierOf(), { image: imageRef })).toBe('allowed repullSucceeded');
    expect(await ask(verifierOf(), { image: 'reg.example.com/edited:1' })).toBe('allowed recordMatched');
  });

  it('gains nothing from naming an allowlisted image', async () => {
    const verifier = verifierOf({
      policy: 'NeverVerifyAllowlistedImages',
      allowlist: ['reg.example.com/public/app'],
    });
    expect(await ask(verifier, edited)).toBe('denied imageMismatch');
  });

  it('is denied with pull policy Never unless a record speaks for one of the names', async () => {
    const verifier = verifierOf();
    expect(await ask(verifier, { ...edited, policy: 'Never' })).toBe('denied neverWithoutRecord');
    await ask(verifier);
    expect(await ask(verifier, { image: imageRef, policy: 'Never' })).toBe('allowed recordMatched');
  });
});

describe('what needs no question', () => {
  it('is an image that was on the node before Pullwarden, whatever is pulled under other names later', async () => {
    const fresh = openRecordStore({ stateDir: join(folder, 'other'), onNotice: () => undefined });
    opened.store.close();
    opened = fresh;
    opened.store.takeInventory([content]);
    const verifier = verifierOf();
    expect(await ask(verifier, teamB)).toBe('allowed preloaded');
    opened.store.recordImagePulled('reg.example.com/copy:1', imageRef, { nodePodsAccessible: true });
    expect(await ask(verifier, teamB)).toBe('allowed preloaded');
    expect(await ask(verifier, { ...teamB, image: imageRef })).toBe('allowed preloaded');
    expect(pulls).toEqual([]);
  });

  it('is pull policy Always: kubelet has just asked; the record is learned for later', async () => {
    const verifier = verifierOf();
    expect(await ask(verifier, { policy: 'Always' })).toBe('allowed pullPolicyAlways');
    await verifier.idle();
    expect(pulls).toEqual([`${repository}@${digest} alice`]);
    expect(await ask(verifier, { policy: 'Never' })).toBe('allowed recordMatched');
  });

  it('is everything under NeverVerify, and an allowlisted image under its policy', async () => {
    expect(await ask(verifierOf({ policy: 'NeverVerify' }), teamB)).toBe('allowed verificationPolicy');
    const allowlist = verifierOf({ policy: 'NeverVerifyAllowlistedImages', allowlist: [repository] });
    expect(await ask(allowlist, teamB)).toBe('allowed verificationPolicy');
    expect(pulls).toEqual([]);
  });

  it('is an image that anyone may pull, once that has been seen', async () => {
    const verifier = verifierOf({ registry: () => granted });
    expect(await ask(verifier, teamB)).toBe('allowed repullSucceeded');
    expect(await ask(verifier, { ...teamC, policy: 'Never' })).toBe('allowed recordMatched');
    expect(pulls).toHaveLength(1);
  });
});

describe('what cannot be told', () => {
  const cases: Array<[string, PullOutcome, string]> = [
    ['a registry that is down', down, 'registryUnavailable'],
    [
      'a runtime that is down',
      { outcome: 'runtimeUnavailable', speaker: 'unstated', message: '' },
      'runtimeUnavailable',
    ],
    [
      'an error that nobody knows',
      { outcome: 'unknown', speaker: 'unstated', message: '' },
      'pullErrorUnknown',
    ],
    [
      'a name that the runtime does not take',
      { outcome: 'invalid', speaker: 'unstated', message: '' },
      'imageNameInvalid',
    ],
  ];
  it.each(cases)('%s permits nothing', async (_what, outcome, reason) => {
    const verifier = verifierOf({ registry: () => outcome });
    expect(await ask(verifier)).toBe(`unverifiable ${reason}`);
    expect(opened.store.pulledRecord(imageRef)).toBeUndefined();
    expect(opened.store.listPullIntents()).toEqual([]);
  });

  it('a runtime that was away is asked again at once, without backoff', async () => {
    let away = true;
    const verifier = verifierOf({
      registry: () => (away ? { outcome: 'runtimeUnavailable', speaker: 'unstated', message: '' } : granted),
    });
    expect(await ask(verifier)).toBe('unverifiable runtimeUnavailable');
    away = false;
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
  });

  it('a registry that was down is asked again within 30 s however long it was, and at once when it answered anybody', async () => {
    let isDown = true;
    const verifier = verifierOf({ registry: (...question) => (isDown ? down : private_(...question)) });
    for (clock of [0, 10_000, 30_000, 60_000])
      expect(await ask(verifier)).toBe('unverifiable registryUnavailable');
    expect(pulls).toHaveLength(4);
    isDown = false;
    clock = 89_999;
    expect(await ask(verifier)).toBe('unverifiable registryUnavailable');
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
  });

  it('an image that is no longer there is not pulled', async () => {
    expect(await ask(verifierOf({ images: [] }))).toBe('unverifiable imageNotPresent');
    expect(pulls).toEqual([]);
  });

  it('a malformed secret stops the look-up, as kubelet does, but not a pod that needs none', async () => {
    await putSecret('team-m', 'bad', '{');
    await pods.getSecret('team-m', 'bad', { fresh: true });
    const malformed: Asked = { namespace: 'team-m', secrets: ['bad'] };
    expect(await ask(verifierOf(), malformed)).toBe('unverifiable secretMalformed');
    opened.store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
    expect(await ask(verifierOf(), malformed)).toBe('allowed recordMatched');
  });

  it('a malformed secret does not keep pull policy Never from being denied without a record', async () => {
    await ask(verifierOf());
    await putSecret('team-m', 'bad', '{');
    await pods.getSecret('team-m', 'bad', { fresh: true });
    const malformed: Asked = { namespace: 'team-m', secrets: ['bad'], policy: 'Never' };
    expect(await ask(verifierOf(), malformed)).toBe('denied neverWithoutRecord');
    const otherName: Asked = { ...malformed, image: 'reg.example.com/team-m/app:1' };
    expect(await ask(verifierOf(), otherName)).toBe('denied neverWithoutRecord');
    expect(pulls).toHaveLength(1);
  });

  it('but secrets that cannot be read leave it open whether a record would have matched', async () => {
    await ask(verifierOf());
    pods = {
      ...pods,
      getSecret: async () => {
        throw new PodSourceError('apiServerUnavailable', 'connection refused');
      },
    };
    expect(await ask(verifierOf(), { policy: 'Never' })).toBe('unverifiable apiServerUnavailable');
  });

  it('more secrets than any pod needs', async () => {
    const filler = 'x'.repeat(700_000);
    for (const name of ['big-1', 'big-2', 'big-3'])
      await putSecret('team-a', name, { username: 'u', password: filler });
    await pods.getSecret('team-a', 'big-1', { fresh: true });
    expect(await ask(verifierOf(), { secrets: ['big-1', 'big-2', 'big-3'] })).toBe(
      'unverifiable secretMalformed',
    );
  });

  it('a secret that does not exist is passed over, as kubelet does', async () => {
    expect(await ask(verifierOf(), { secrets: ['missing', 'alice'] })).toBe('allowed repullSucceeded');
    expect(await ask(verifierOf(), { secrets: ['missing'] })).toBe('denied registryRefused');
  });

  it('a name that no parser accepts', async () => {
    expect(await ask(verifierOf(), { image: 'UPPER/x:::' })).toBe('unverifiable imageNameInvalid');
  });
});

describe('a registry that hangs', () => {
  it('does not hold up the questions to another one', async () => {
    const slow: RuntimeImage = {
      id: `sha256:${'5'.repeat(64)}`,
      repoTags: [],
      repoDigests: [`slow.example.com/app@${digest}`],
      pinned: false,
    };
    let release = (): void => undefined;
    const hanging = new Promise<PullOutcome>((resolve) => {
      release = () => resolve(down);
    });
    const verifier = verifierOf({
      images: [content, slow],
      registry: (name, auth) => (name.startsWith('slow.') ? hanging : private_(name, auth)),
    });
    const waiting = Array.from({ length: 8 }, () =>
      ask(verifier, { image: 'slow.example.com/app:1', imageRef: slow.id, secrets: [] }),
    );
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
    release();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['unverifiable registryUnavailable']));
  });
});

describe('a secret that was good for the image and has been changed since', () => {
  const grant: Registry = () => granted;
  const onlyOld: Registry = (_image, auth) => (auth?.password === 'alicepw' ? granted : refused);
  const rotate = async (password: string): Promise<void> => {
    await putSecret('team-a', 'alice', { username: 'alice', password });
    await pods.getSecret('team-a', 'alice', { fresh: true });
  };
  const hashes = (): readonly string[] =>
    opened.store
      .pulledRecord(imageRef)
      ?.credentialMapping.get(repository)
      ?.kubernetesSecrets?.map((s) => s.credentialHash) ?? [];

  it('trust: is let pass, and its new hash written down, as kubelet does', async () => {
    const verifier = verifierOf({ registry: onlyOld });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    expect(await ask(verifier)).toBe('allowed recordMatched');
    expect(pulls).toHaveLength(1);
    expect(hashes()).not.toEqual(before);
  });

  it('verify: is let pass at once and verified; once granted it vouches for others', async () => {
    const verifier = verifierOf({ rotatedSecrets: 'verify', registry: grant });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    const { verdict, revision } = await access(verifier, { policy: 'Never' });
    expect(verdict).toMatchObject({ verdict: 'allowed', reason: 'recordMatched' });
    expect(await revision).toMatchObject({ verdict: 'allowed', reason: 'repullSucceeded' });
    expect(hashes()).toHaveLength(1);
    expect(hashes()).not.toEqual(before);
    expect((await access(verifier)).revision).toBeUndefined();
  });

  it('verify: when it is refused, the record goes and the container is denied', async () => {
    const verifier = verifierOf({ rotatedSecrets: 'verify', registry: onlyOld });
    await ask(verifier);
    await rotate('guessed');
    const { verdict, revision } = await access(verifier);
    expect(verdict.verdict).toBe('allowed');
    expect(await revision).toMatchObject({ verdict: 'denied', reason: 'registryRefused' });
    expect(hashes()).toEqual([]);
    expect(await ask(verifier)).toBe('denied registryRefused');
    expect(await ask(verifier, { policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(pulls).toHaveLength(2);
  });

  it('verify: until it is granted, it vouches for nobody else', async () => {
    let release = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registry: Registry = async (_image, auth) => {
      if (auth?.password === 'alicepw') return granted;
      await asked;
      return refused;
    };
    const verifier = verifierOf({ rotatedSecrets: 'verify', registry });
    await ask(verifier);
    await rotate('guessed');
    const { revision } = await access(verifier);
    await putSecret('team-x', 'copy', { username: 'alice', password: 'guessed' });
    await pods.getSecret('team-x', 'copy', { fresh: true });
    expect(await ask(verifier, { namespace: 'team-x', secrets: ['copy'], policy: 'Never' })).toBe(
      'denied neverWithoutRecord',
    );
    release();
    await revision;
  });

  it('verify: when nobody can be asked, the record stays and it is tried again', async () => {
    let away = false;
    const verifier = verifierOf({ rotatedSecrets: 'verify', registry: () => (away ? down : granted) });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    away = true;
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'registryUnavailable' });
    expect(hashes()).toEqual(before);
    away = false;
    clock = 10_000;
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'repullSucceeded' });
  });

  it('verify: a secret that was repaired while it was being refused keeps its entry', async () => {
    for (const repaired of ['alicepw', 'repaired']) {
      let duringRefusal = async (): Promise<void> => undefined;
      const registry: Registry = async (_image, auth) => {
        if (auth?.password !== 'mistyped') return granted;
        await duringRefusal();
        return refused;
      };
      const verifier = verifierOf({ rotatedSecrets: 'verify', registry });
      await rotate('alicepw');
      await ask(verifier);
      await rotate('mistyped');
      duringRefusal = async () => {
        await rotate(repaired);
        expect(await (await access(verifier)).revision).not.toMatchObject({ verdict: 'denied' });
      };
      const { revision } = await access(verifier);
      expect(await revision, repaired).toMatchObject({ verdict: 'allowed', reason: 'recordMatched' });
      expect(hashes(), repaired).toHaveLength(1);
      expect((await access(verifier, { policy: 'Never' })).revision, repaired).toBeUndefined();
    }
  });

  it('verify: a secret that was changed to another wrong one while it was refused loses its entry', async () => {
    let duringRefusal = async (): Promise<void> => undefined;
    const registry: Registry = async (_image, auth) => {
      if (auth?.password === 'alicepw') return granted;
      if (auth?.password === 'guessed') await duringRefusal();
      return refused;
    };
    const verifier = verifierOf({ rotatedSecrets: 'verify', registry });
    await ask(verifier);
    await rotate('guessed');
    duringRefusal = () => rotate('guessed again');
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'registryRefused' });
    expect(hashes()).toEqual([]);
  });

  it('deny: waits for the registry, also with pull policy Never', async () => {
    const verifier = verifierOf({ rotatedSecrets: 'deny', registry: onlyOld });
    await ask(verifier);
    await rotate('guessed');
    expect(await ask(verifier, { policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(hashes()).toEqual([]);
    await rotate('alicepw');
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
  });

  it('does not matter to a pod that has another credential which the record knows', async () => {
    const verifier = verifierOf({ rotatedSecrets: 'verify' });
    await putSecret('team-a', 'second', { username: 'dave', password: 'davepw' });
    await pods.getSecret('team-a', 'second', { fresh: true });
    await ask(verifier, { secrets: ['alice'] });
    await ask(verifier, { secrets: ['second'] });
    await rotate('rotated');
    const { verdict, revision } = await access(verifier, { secrets: ['alice', 'second'] });
    expect(verdict).toMatchObject({ reason: 'recordMatched' });
    expect(revision).toBeUndefined();
  });
});
