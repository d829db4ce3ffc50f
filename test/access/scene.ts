import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { makePolicy, type VerificationPolicyName } from '../../agent/access/record/policy.ts';
import type { AccessRequest } from '../../agent/access/request.ts';
import type { StandingStore } from '../../agent/access/standing.ts';
import type { Access, Verifier } from '../../agent/access/verifier.ts';
import { openDirectoryPodSource } from '../../agent/pods/directory/source.ts';
import type { PodSource, PullPolicy } from '../../agent/pods/pod-source.ts';
import { type OpenedRecordStore, openRecordStore } from '../../agent/records/sqlite/open.ts';
import type { RegistryAnswer } from '../../agent/registry/answer.ts';
import type { RegistryClient } from '../../agent/registry/client.ts';
import type {
  ImagePieces,
  ImagePiecesAnswer,
  PullOutcome,
  RegistryAuth,
  RuntimeImage,
} from '../../agent/runtime/runtime.ts';
import {
  type Verification,
  type VerificationSettings,
  wireVerification,
} from '../../agent/wiring/verification.ts';

/**
 * The verifier as the agent wires it, with the real record store on disk and the real pod source. Runtime and
 * registry are doubles, because here they must answer what no real one can be made to answer on demand. With
 * real ones: test/node/.
 */

export const repository = 'reg.example.com/team-a/app';
export const image = `${repository}:1`;
export const digest = `sha256:${'d'.repeat(64)}`;
export const imageRef = `sha256:${'1'.repeat(64)}`;
export const content: RuntimeImage = {
  id: imageRef,
  repoTags: [image],
  repoDigests: [`${repository}@${digest}`],
  pinned: false,
};

/** What the registry says to a question about `repository@digest` or `repository:tag`. */
export type RegistryWords = 'granted' | 'refused' | 'notFound' | 'forbiddenByPolicy' | 'down';
export type Registry = (
  name: string,
  user: RegistryAuth | undefined,
) => RegistryWords | Promise<RegistryWords>;
/** What the runtime says of a pull. */
export type Puller = (name: string, user: RegistryAuth | undefined) => PullOutcome | Promise<PullOutcome>;

export const pulled: PullOutcome = { outcome: 'pulled', imageRef };

/** Alice and dave may pull, nobody else. */
export const private_: Registry = (_image, user) =>
  (user?.username === 'alice' && user.password === 'alicepw') || user?.username === 'dave'
    ? 'granted'
    : 'refused';

/** The runtime has no credentials of its own, and hears what the registry says. */
function pullerOf(registry: Registry): Puller {
  return async (name, user) => {
    const words = await registry(name, user);
    if (words === 'granted') return pulled;
    if (words === 'down')
      return { outcome: 'unavailable', speaker: 'unstated', message: 'connection refused' };
    return { outcome: 'refused', speaker: 'registry', message: '401 Unauthorized' };
  };
}

export type Setup = Partial<Omit<VerificationSettings, 'policy'>> & {
  readonly policy?: VerificationPolicyName;
  readonly allowlist?: string[];
  readonly images?: RuntimeImage[];
  /** What each image consists of, by its id; left out, the runtime does not tell. */
  readonly pieces?: Readonly<Record<string, ImagePieces>>;
  readonly registry?: Registry;
  readonly puller?: Puller;
  /** May the runtime have mirrors or credentials of its own? */
  readonly hasOwnWay?: boolean;
};

export type Asked = {
  readonly namespace?: string;
  readonly secrets?: string[];
  readonly policy?: PullPolicy;
  readonly image?: string;
  readonly imageRef?: string;
};

export const teamB: Asked = { namespace: 'team-b', secrets: [] };
export const teamC: Asked = { namespace: 'team-c', secrets: ['wrong'] };
export const teamD: Asked = { namespace: 'team-d', secrets: ['dave'] };

/** One node: its records, its pods' secrets, and what was asked of others. Made anew for every test of a file. */
export function useNode() {
  beforeEach(node.open);
  afterEach(node.close);
  return node;
}

const node = createNode();

function createNode() {
  const state = {
    folder: '',
    opened: undefined as OpenedRecordStore | undefined,
    pods: undefined as PodSource | undefined,
    /** Questions to the registry, as `NAME USER`. */
    questions: [] as string[],
    /** Pulls through the runtime, likewise. */
    pulls: [] as string[],
    clock: 0,
    wired: [] as Verification[],
  };
  const opened = (): OpenedRecordStore => {
    if (state.opened === undefined) throw new Error('only within a test');
    return state.opened;
  };
  const pods = (): PodSource => {
    if (state.pods === undefined) throw new Error('only within a test');
    return state.pods;
  };

  return {
    async open() {
      const folder = await mkdtemp(join(tmpdir(), 'pullwarden-verifier-'));
      await rm(folder, { recursive: true });
      Object.assign(state, { folder, questions: [], pulls: [], clock: 0, wired: [] });
      state.opened = openRecordStore({ stateDir: folder, onNotice: () => undefined });
      opened().store.takeInventory([]);
      state.pods = openDirectoryPodSource({
        directory: folder,
        onProblem: () => undefined,
        rescanIntervalMs: 3_600_000,
      });
      await putSecret(folder, 'team-a', 'alice', { username: 'alice', password: 'alicepw' });
      await putSecret(folder, 'team-c', 'wrong', { username: 'alice', password: 'nope' });
      await putSecret(folder, 'team-d', 'dave', { username: 'dave', password: 'davepw' });
      await pods().start();
    },
    async close() {
      for (const wired of state.wired) wired.close();
      await pods().stop();
      opened().store.close();
      await rm(state.folder, { recursive: true, force: true });
    },
    get store() {
      return opened().store;
    },
    get questions(): readonly string[] {
      return state.questions;
    },
    get pulls(): readonly string[] {
      return state.pulls;
    },
    get folder() {
      return state.folder;
    },
    setClock(ms: number) {
      state.clock = ms;
    },
    /** Another state directory takes the place of the records. */
    reopen(stateDir: string) {
      opened().store.close();
      state.opened = openRecordStore({ stateDir, onNotice: () => undefined });
    },
    /** A secret that is there at once, also for who has read it before. */
    async putSecret(namespace: string, name: string, entry: object | string): Promise<void> {
      await putSecret(state.folder, namespace, name, entry);
      await pods().getSecret(namespace, name, { fresh: true });
    },
    /** A secret that was changed, and that only who reads it afresh sees. */
    changeSecret: (namespace: string, name: string, entry: object | string) =>
      putSecret(state.folder, namespace, name, entry),
    breakSecrets(error: Error) {
      state.pods = {
        ...pods(),
        getSecret: async () => {
          throw error;
        },
      };
    },
    verifier: (setup: Setup = {}): Verifier => verification(setup).verifier,
    verification: (setup: Setup = {}): Verification => verification(setup),
  };

  function verification(setup: Setup): Verification {
    const wired = wire(setup, {
      pods: pods(),
      opened: opened(),
      now: () => state.clock,
      questions: state.questions,
      pulls: state.pulls,
    });
    state.wired.push(wired);
    return wired;
  }
}

async function putSecret(
  folder: string,
  namespace: string,
  name: string,
  entry: object | string,
): Promise<void> {
  const config = typeof entry === 'string' ? entry : JSON.stringify({ auths: { 'reg.example.com': entry } });
  const secret = {
    kind: 'Secret',
    metadata: { namespace, name, uid: `uid-${namespace}-${name}` },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': config },
  };
  await writeFile(join(folder, `${namespace}-${name}.json`), JSON.stringify(secret));
}

type Double = {
  readonly pods: PodSource;
  readonly opened: OpenedRecordStore;
  readonly now: () => number;
  readonly questions: string[];
  readonly pulls: string[];
};

function wire(setup: Setup, { pods, opened, now, questions, pulls }: Double): Verification {
  const { images = [content], registry = private_, puller = pullerOf(registry), hasOwnWay = true } = setup;
  const { policy = 'NeverVerifyPreloadedImages', allowlist = [] } = setup;
  return wireVerification(
    {
      rotatedSecrets: 'trust',
      proof: 'pull',
      runtimeGrants: 'allow',
      bytes: 'off',
      trustedRegistries: [],
      nodeCredentials: [],
      questionsPerRegistry: 4,
      pullTimeoutMs: 1_000,
      backgroundQuestions: 6_000,
      ...setup,
      policy: makePolicy(policy, allowlist),
    },
    {
      pods,
      runtime: runtimeOf(images, setup.pieces ?? {}, puller, pulls),
      registry: registryOf(registry, questions),
      mayHaveOwnWay: async () => hasOwnWay,
      node: undefined,
      store: opened.store,
      standing: inMemory(),
      shown: noneShown,
      matched: noneMatched,
      keyedHash: opened.keyedHash,
      now,
    },
    {
      onCheck: () => undefined,
      onEnsured: () => undefined,
      onPull: () => undefined,
      onSecondOpinion: () => undefined,
      onShown: () => undefined,
      onRecordStoreError: () => undefined,
      onSecretsChanged: () => undefined,
      onBytesInDoubt: () => undefined,
    },
  );
}

function runtimeOf(
  images: readonly RuntimeImage[],
  pieces: Readonly<Record<string, ImagePieces>>,
  puller: Puller,
  pulls: string[],
) {
  return {
    listImages: async () => images,
    imageStatus: async (name: string) =>
      images.find(
        ({ id, repoTags, repoDigests }) =>
          id === name || repoTags.includes(name) || repoDigests.includes(name),
      ),
    async imagePieces(id: string): Promise<ImagePiecesAnswer> {
      const known = pieces[id];
      return known ? { pieces: known } : { pieces: undefined, reason: 'infoMissing' };
    },
    blobsOfPieces: async () => undefined,
    blob: async () => undefined,
    sandbox: async () => undefined,
    listContainers: async () => [],
    pullImage: async ({ image: name, auth }: { image: string; auth?: RegistryAuth | undefined }) => {
      pulls.push(`${name} ${auth?.username ?? 'anonymous'}`);
      return puller(name, auth);
    },
  };
}

const spent = { requests: 1, tokenRequests: 0, bytes: 0 };
type ManifestAnswer = Awaited<ReturnType<RegistryClient['manifest']>>;

function registryOf(registry: Registry, questions: string[]): RegistryClient {
  return {
    async manifest({ registry: host, repository: path, reference, login }) {
      const name = `${host}/${path}${reference.startsWith('sha256:') ? '@' : ':'}${reference}`;
      const user = login?.kind === 'password' ? login : undefined;
      questions.push(`${name} ${user?.username ?? 'anonymous'}`);
      return answerOf(await registry(name, user), reference);
    },
    blob: async () => unavailable,
    close: async () => undefined,
  };
}

function answerOf(words: RegistryWords, reference: string): ManifestAnswer {
  switch (words) {
    case 'granted': {
      const inUse = { schemaVersion: 2, config: descriptor(imageRef), layers: [] };
      const isDigest = reference.startsWith('sha256:');
      const manifest = { digest: isDigest ? reference : digest, bytes: Buffer.from(JSON.stringify(inUse)) };
      return { answer: 'granted', asked: 'withCredential', manifest, spent };
    }
    case 'refused':
      return { answer: 'unauthorized', by: 'registry', status: 401, spent };
    case 'notFound':
      return { answer: 'notFound', by: 'registry', status: 404, spent };
    case 'forbiddenByPolicy':
      return { answer: 'forbiddenByPolicy', status: 412, spent };
    case 'down':
      return unavailable;
  }
}

function descriptor(of: string) {
  return { mediaType: 'application/vnd.oci.image.config.v1+json', digest: of, size: 1 };
}

const unavailable: Extract<RegistryAnswer<never>, { answer: 'unavailable' }> = {
  answer: 'unavailable',
  seen: 'connect',
  message: 'reg.example.com: no connection',
  spent,
};

function inMemory(): StandingStore {
  let known: Parameters<StandingStore['add']>[0][] = [];
  return {
    has: ({ namespace, imageRef: content, trimmedImage }) =>
      known.some(
        (one) =>
          one.namespace === namespace &&
          (content === undefined || one.imageRef === content) &&
          (trimmedImage === undefined || one.trimmedImage === trimmedImage),
      ),
    add: (about) => void known.push(about),
    revoke: (imageRefs) => {
      known = known.filter((one) => !imageRefs.includes(one.imageRef));
    },
  };
}

const noneMatched = { isMatched: () => false, match: () => undefined, keepOnly: () => undefined };

const noneShown = {
  holding: () => undefined,
  isKnown: () => false,
  hosts: () => [],
  add: () => undefined,
  keepOnly: () => undefined,
};

export async function ask(verifier: Verifier, asked: Asked = {}): Promise<string> {
  const { verdict } = await access(verifier, asked);
  return `${verdict.verdict} ${verdict.reason}`;
}

export function access(verifier: Verifier, asked: Asked = {}): Promise<Access> {
  return verifier.ensureAccess(requestOf(asked));
}

export function requestOf(asked: Asked = {}): AccessRequest {
  const { namespace = 'team-a', secrets = ['alice'], policy = 'IfNotPresent' } = asked;
  return {
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
  };
}
