import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeCredentialSource } from '../../agent/access/pod-credentials.ts';
import { makePolicy } from '../../agent/access/record/policy.ts';
import type { AccessRequest } from '../../agent/access/request.ts';
import type { StandingStore } from '../../agent/access/standing.ts';
import { unverifiable } from '../../agent/access/verdict.ts';
import { credentialHash } from '../../agent/credentials/credential-hash.ts';
import { type EnforcementSettings, planEnforcement } from '../../agent/enforcement/plan.ts';
import { PodSourceError, RuntimeError } from '../../agent/errors.ts';
import type { Secret } from '../../agent/pods/pod-source.ts';
import { type OpenedRecordStore, openRecordStore } from '../../agent/records/sqlite/open.ts';
import { createRegistryClient, type RegistryClient } from '../../agent/registry/client.ts';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';
import {
  type Verification,
  type VerificationParts,
  wireVerification,
} from '../../agent/wiring/verification.ts';
import { FAULTS, type Fault, serveFault } from './faults.ts';

const PARTS = ['containerd', 'API server', 'registry', 'token server', 'provider plugin'] as const;
export type Part = (typeof PARTS)[number];
const KNOWN = ['on record', 'standing, no record', 'neither'] as const;
export type Known = (typeof KNOWN)[number];
const CONTAINERS = ['new', 'running', 'running since before a restart'] as const;

export type Cell = {
  readonly part: Part;
  readonly fault: Fault;
  readonly known: Known;
  readonly container: (typeof CONTAINERS)[number];
  /** `runs (REASON)` or `does not run (REASON)`. */
  readonly says: string;
};

const settings: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  enforceNamespaces: ['*'],
  exemptNamespaces: [],
  revokeRunning: 'report',
  ownPodUid: '',
};

const imageRef = digestOf('{}');
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: imageRef, size: 2 },
    layers: [],
  }),
);

/**
 * Every cell of the outage matrix: enforce mode with defaults. The verdict is found by the agent's own
 * verifier and records. Registry and token server are real HTTP servers with the fault; containerd, the API
 * server and the provider plugin are doubles that fail in the way in which the agent's clients report that
 * fault.
 */
export async function outageMatrix(): Promise<readonly Cell[]> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-outages-'));
  const hosts = await mkdtemp(join(tmpdir(), 'pullwarden-hosts-'));
  const opened = openRecordStore({ stateDir: folder });
  opened.store.takeInventory([]);
  const registry = createRegistryClient({
    endpoints: createEndpoints({ runtime: 'containerd', folders: [hosts], authoritativeMirrors: [] }),
    environment: {},
    // What hangs is given up after 7 s here, and not after 10 s.
    limits: { headersMs: 7_000, idleMs: 7_000 },
  });
  try {
    const rows = PARTS.flatMap((part) =>
      FAULTS.map((fault) => cellsOf({ part, fault }, { hosts, opened, registry })),
    );
    return (await Promise.all(rows)).flat();
  } finally {
    await registry.close();
    opened.store.close();
    await rm(folder, { recursive: true, force: true });
    await rm(hosts, { recursive: true, force: true });
  }
}

type Row = { readonly part: Part; readonly fault: Fault };

async function cellsOf(
  row: Row,
  { hosts, opened, registry }: Pick<Place, 'opened' | 'registry'> & { readonly hosts: string },
): Promise<Cell[]> {
  const faultOf = (part: Part) => (row.part === part ? row.fault : undefined);
  const tokens = await serveFault(faultOf('token server'), () => ({ headers }, response) => {
    if (headers.authorization === undefined) response.writeHead(401, json).end(UNAUTHORIZED);
    else response.end(JSON.stringify({ token: 'good', expires_in: 300 }));
  });
  const server = await serveFault(faultOf('registry'), () => answersWithTokenOf(tokens.host));
  // Loopback speaks plain HTTP, as the node's own configuration has to say.
  await mkdir(join(hosts, server.host));
  await writeFile(join(hosts, server.host, 'hosts.toml'), `server = "http://${server.host}"\n`);
  try {
    const cells = KNOWN.map((known, n) => cellsFor(row, known, { n, host: server.host, opened, registry }));
    return (await Promise.all(cells)).flat();
  } finally {
    await server.close();
    await tokens.close();
  }
}

type Place = {
  readonly n: number;
  readonly host: string;
  readonly opened: OpenedRecordStore;
  readonly registry: RegistryClient;
};

async function cellsFor(row: Row, known: Known, { n, host, opened, registry }: Place): Promise<Cell[]> {
  const image = `${host}/team/app-${n}:1`;
  const isByPlugin = row.part === 'provider plugin';
  const request: AccessRequest = {
    pod: {
      ...{ namespace: `team-${n}`, name: 'web', uid: `uid-${host}-${n}`, serviceAccountName: 'default' },
      imagePullSecrets: isByPlugin ? [] : ['pull'],
      containers: [],
    },
    container: { name: 'app', image, imagePullPolicy: 'IfNotPresent' },
    imageRef,
    urgent: true,
  };
  if (known === 'on record') remember(opened, { image, isByPlugin, n });
  const wired = verificationUnder(row, { image, known, opened, registry });
  const { verdict, doubt } = await wired.verifier.ensureAccess(request);
  wired.close();
  return CONTAINERS.map((container) => {
    const alreadyRuns = container !== 'new';
    const plan = planEnforcement(
      settings,
      verdict,
      { namespace: `team-${n}`, podUid: '' },
      { doubt, alreadyRuns },
    );
    const runs = plan === undefined || plan.action === 'none';
    return { ...row, known, container, says: `${runs ? 'runs' : 'does not run'} (${verdict.reason})` };
  });
}

const json = { 'content-type': 'application/json' };
const UNAUTHORIZED = JSON.stringify({
  errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }],
});
const login = { username: 'alice', password: 'correct horse', email: '' };

/** As a verdict of the past left it. */
function remember(
  { store, keyedHash }: OpenedRecordStore,
  { image, isByPlugin, n }: { readonly image: string; readonly isByPlugin: boolean; readonly n: number },
): void {
  const owner = { namespace: `team-${n}`, name: isByPlugin ? 'default' : 'pull', uid: `uid-${n}` };
  const secret = { ...owner, credentialHash: keyedHash(credentialHash(login)) };
  store.recordGranted(
    image,
    imageRef,
    isByPlugin ? { kubernetesServiceAccounts: [owner] } : { kubernetesSecrets: [secret] },
  );
}

type Under = {
  readonly image: string;
  readonly known: Known;
  readonly opened: OpenedRecordStore;
  readonly registry: RegistryClient;
};

function verificationUnder({ part, fault }: Row, { image, known, opened, registry }: Under): Verification {
  const faultOf = (other: Part) => (part === other ? fault : undefined);
  const standing: StandingStore = {
    has: () => known !== 'neither',
    add: () => undefined,
    revoke: () => undefined,
  };
  const nothing = () => undefined;
  return wireVerification(
    {
      policy: makePolicy('NeverVerifyPreloadedImages', []),
      rotatedSecrets: 'verify',
      proof: 'pull',
      runtimeGrants: 'allow',
      bytes: 'off',
      trustedRegistries: [],
      nodeCredentials: [],
      questionsPerRegistry: 4,
      pullTimeoutMs: 5_000,
      backgroundQuestions: 60,
    },
    {
      pods: {
        getSecret: secretUnder(faultOf('API server'), image.slice(0, image.indexOf('/'))),
        getPod: async () => undefined,
      },
      runtime: runtimeUnder(faultOf('containerd'), image),
      registry,
      node: part === 'provider plugin' ? pluginUnder(fault) : undefined,
      store: opened.store,
      standing,
      shown: { holding: nothing, isKnown: () => false, hosts: () => [], add: nothing, keepOnly: nothing },
      matched: { isMatched: () => false, match: nothing, keepOnly: nothing },
      mayHaveOwnWay: async () => false,
      keyedHash: opened.keyedHash,
      now: () => performance.now(),
    },
    {
      onCheck: nothing,
      onEnsured: nothing,
      onPull: nothing,
      onSecondOpinion: nothing,
      onShown: nothing,
      onRecordStoreError: nothing,
      onSecretsChanged: nothing,
      onBytesInDoubt: nothing,
    },
  );
}

/** A double. What is slow has answered by the time that anybody counts; what hangs ran into a deadline. */
function runtimeUnder(fault: Fault | undefined, image: string): VerificationParts['runtime'] {
  const repository = image.slice(0, image.lastIndexOf(':'));
  const repoDigests = [`${repository}@${digestOf(manifest)}`];
  const listed: RuntimeImage = { id: imageRef, repoTags: [image], repoDigests, pinned: false };
  async function answer<Result>(result: Result): Promise<Result> {
    if (fault === undefined || fault === 'slow 5 s') return result;
    const reason = fault === 'hangs' ? 'deadline' : isConnectionLost(fault) ? 'unreachable' : 'failed';
    throw new RuntimeError(reason, `the runtime ${fault}`);
  }
  return {
    imageStatus: () => answer(listed),
    listImages: () => answer([listed]),
    imagePieces: () => answer({ pieces: undefined, reason: 'infoMissing' }),
    blobsOfPieces: () => answer(undefined),
    blob: () => answer(undefined),
    sandbox: () => answer(undefined),
    listContainers: () => answer([]),
    // A runtime that goes by the same network hears no more than the agent itself.
    pullImage: async () => ({ outcome: 'unavailable', speaker: 'unstated', message: 'no answer' }),
  };
}

function isConnectionLost(fault: Fault): boolean {
  return fault === 'refuses connections' || fault === 'restarts';
}

/** A double of the API server, as the source of secrets reports its faults. */
function secretUnder(fault: Fault | undefined, host: string) {
  return async (namespace: string, name: string): Promise<Secret> => {
    if (fault !== undefined && fault !== 'slow 5 s') {
      throw new PodSourceError('apiServerUnavailable', `the API server: ${fault}`);
    }
    const { username, password } = login;
    const auths = { [host]: { username, password } };
    return {
      ...{ namespace, name, uid: `uid-${namespace.slice('team-'.length)}`, resourceVersion: '1' },
      type: 'kubernetes.io/dockerconfigjson',
      data: new Map([['.dockerconfigjson', Buffer.from(JSON.stringify({ auths }))]]),
      readAtMs: performance.now(),
    };
  };
}

/** A double of a credential provider plugin that speaks for the pod's service account. */
function pluginUnder(fault: Fault): NodeCredentialSource {
  return {
    async offerFor({ namespace }) {
      const uid = `uid-${namespace.slice('team-'.length)}`;
      const source = { kind: 'serviceAccount' as const, namespace, name: 'default', uid, provider: 'plugin' };
      if (fault === 'slow 5 s') {
        return { credentials: [{ credential: login, source, credentialHash: credentialHash(login) }] };
      }
      return {
        credentials: [],
        problem: unverifiable('providerUnavailable', `the provider plugin: ${fault}`),
      };
    },
  };
}

function answersWithTokenOf(tokenHost: string): RequestListener {
  return ({ headers }, response) => {
    if (headers.authorization === 'Bearer good') {
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(manifest);
      return;
    }
    const challenge = `Bearer realm="http://${tokenHost}/token",service="registry"`;
    response.writeHead(401, { ...json, 'www-authenticate': challenge }).end(UNAUTHORIZED);
  };
}

function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The table of docs/outages.md. */
export function outageTable(cells: readonly Cell[]): string {
  const columns = KNOWN.flatMap((known) => CONTAINERS.map((container) => ({ known, container })));
  const header = ['what', 'fault', ...columns.map(({ known, container }) => `${known}: ${container}`)];
  const rows = PARTS.flatMap((part) =>
    FAULTS.map((fault) => [
      part,
      fault,
      ...columns.map(({ known, container }) => {
        const cell = cells.find(
          (one) =>
            one.part === part && one.fault === fault && one.known === known && one.container === container,
        );
        return cell?.says ?? '';
      }),
    ]),
  );
  return [header, header.map(() => '---'), ...rows].map((line) => `| ${line.join(' | ')} |\n`).join('');
}
