import { once } from 'node:events';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as grpc } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkClock } from '../../../agent/commands/doctor/check-state.ts';
import type { Finding } from '../../../agent/commands/doctor/finding.ts';
import { runDoctor } from '../../../agent/commands/doctor/run.ts';
import { writeSavedRuntimeRegistries } from '../../../agent/records/saved-runtime-registries.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { createFakeRuntime, type FakeRuntime } from '../../runtime/fake-runtime.ts';
import { stateDirectory } from '../state.ts';

let state: ReturnType<typeof stateDirectory>;
let podsDirectory = '';
let runtime: FakeRuntime;

beforeEach(async () => {
  state = stateDirectory();
  podsDirectory = mkdtempSync(join(tmpdir(), 'pullwarden-pods-'));
  runtime = createFakeRuntime();
  runtime.answers = {
    Version: () => ({
      version: '0.1.0',
      runtimeName: 'containerd',
      runtimeVersion: '2.1.9',
      runtimeApiVersion: 'v1',
    }),
  };
  await runtime.start();
});

afterEach(() => {
  runtime.cleanUp();
  state.remove();
  rmSync(podsDirectory, { recursive: true });
});

const elsewhere = {
  kubeconfig: undefined,
  nodeName: 'node-a',
  enforcement: 'auto',
  nriSocket: '/nowhere/nri.sock',
  kubeletRootDir: '/nowhere/kubelet',
  dockerConfig: [],
  imageCredentialProviderConfig: undefined,
  imageCredentialProviderBinDir: undefined,
  credentialProviderTimeout: 10_000,
  listenAddress: undefined,
} as const;

async function examine(
  config: Partial<Parameters<typeof runDoctor>[0]> = {},
): Promise<{ exitCode: number; findings: Map<string, Finding> }> {
  let text = '';
  const exitCode = await runDoctor(
    { runtimeEndpoint: runtime.socketPath, stateDir: state.stateDir, podsDirectory, ...elsewhere, ...config },
    { output: 'json', print: (part) => (text += part) },
  );
  const findings: Finding[] = JSON.parse(text);
  return { exitCode, findings: new Map(findings.map((finding) => [finding.check, finding])) };
}

describe('doctor on a node where everything is as it should be', () => {
  it('finds it so, and ends with 0', async () => {
    const { exitCode, findings } = await examine();
    expect(exitCode).toBe(0);
    const notOk = [...findings.values()].filter(
      ({ status, check }) => status !== 'ok' && check !== 'free space',
    );
    expect(notOk.map(({ check }) => check)).toEqual(['nri']);
    expect(findings.get('runtime')?.detail).toBe('containerd 2.1.9, CRI v1');
    expect(findings.get('records database')?.detail).toBe('2 images on record');
  });
});

describe('doctor and the runtime', () => {
  it('warns that there are no events, and ends with 0', async () => {
    runtime.onSubscribe = (stream) =>
      stream.emit('error', { code: grpc.UNIMPLEMENTED, details: 'unknown method GetContainerEvents' });
    const { exitCode, findings } = await examine();
    expect(exitCode).toBe(0);
    expect(findings.get('runtime events')).toMatchObject({ status: 'warning' });
    expect(findings.get('runtime events')?.advice).toContain('every 10 s');
  });

  it('warns of a stream of events that ends at once', async () => {
    runtime.onSubscribe = (stream) => stream.end();
    const { findings } = await examine();
    expect(findings.get('runtime events')).toMatchObject({ status: 'warning' });
  });

  it('fails where there is no socket, and where a file is none', async () => {
    const missing = await examine({ runtimeEndpoint: '/nowhere.sock' });
    expect(missing.exitCode).toBe(1);
    expect(missing.findings.get('runtime socket')).toMatchObject({ status: 'failure' });
    const file = join(podsDirectory, 'file');
    writeFileSync(file, '');
    const { findings } = await examine({ runtimeEndpoint: file });
    expect(findings.get('runtime socket')?.detail).toContain('is not a socket');
  });

  it('fails where what listens on the socket does not speak CRI', async () => {
    runtime.answers = {};
    const { exitCode, findings } = await examine();
    expect(exitCode).toBe(1);
    expect(findings.get('runtime')).toMatchObject({ status: 'failure' });
  });
});

describe('doctor and NRI', () => {
  let nriSocket = '';
  let nri: Server | undefined;

  beforeEach(() => {
    nriSocket = join(podsDirectory, 'nri.sock');
  });

  afterEach(() => {
    nri?.close();
    nri = undefined;
  });

  async function listen(): Promise<void> {
    nri = createServer((socket) => socket.destroy()).listen(nriSocket);
    await once(nri, 'listening');
  }

  function runtimeIs(runtimeName: string, runtimeVersion: string): void {
    const version = { version: '0.1.0', runtimeName, runtimeVersion, runtimeApiVersion: 'v1' };
    runtime.answers = { ...runtime.answers, Version: () => version };
  }

  it.each([
    ['containerd', '1.6.20~ds1', 'containerd 1.7 or newer has NRI'],
    [
      'containerd',
      '1.7.24~ds1',
      'off by default in containerd 1.7: in its config.toml set disable = false in [plugins."io.containerd.nri.v1.nri"]',
    ],
    ['containerd', 'v2.1.9', 'that config.toml does not say disable = true'],
    ['cri-o', '1.35.0', 'enable_nri = true in [crio.nri]'],
    ['other', '1', "switch NRI on in the runtime's configuration"],
  ])('says how to switch it on in %s %s', async (name, version, advice) => {
    runtimeIs(name, version);
    const { exitCode, findings } = await examine({ nriSocket });
    expect(findings.get('nri')).toMatchObject({ status: 'warning', detail: `no socket at ${nriSocket}` });
    expect(findings.get('nri')?.advice).toContain(advice);
    expect(findings.get('nri')?.advice).toContain('stopped right after they were created');
    expect(exitCode).toBe(0);
  });

  it('tells a socket that nobody serves any more from one that answers', async () => {
    await listen();
    expect((await examine({ nriSocket })).findings.get('nri')).toMatchObject({ status: 'ok' });
    // A runtime that was killed leaves its socket behind.
    renameSync(nriSocket, `${nriSocket}.left`);
    nri?.close();
    const { findings } = await examine({ nriSocket: `${nriSocket}.left` });
    expect(findings.get('nri')).toMatchObject({ status: 'warning' });
    expect(findings.get('nri')?.detail).toContain('nobody answers');
  });

  it('says how to require the plugin, and what that costs, where the runtime can', async () => {
    await listen();
    runtimeIs('containerd', '2.1.9');
    const before = (await examine({ nriSocket })).findings.get('nri required');
    expect(before?.detail).toContain('containerd 2.2 and newer can require the plugin');
    runtimeIs('containerd', 'v2.2.0');
    const { detail = '' } = (await examine({ nriSocket })).findings.get('nri required') ?? {};
    for (const part of [
      'required_plugins = ["pullwarden"]',
      'tolerate_missing_plugins_annotation',
      'without the agent nothing else starts on the node',
    ]) {
      expect(detail).toContain(part);
    }
  });

  it.each([
    ['1.7.25', true],
    ['1.7.26', false],
    ['v2.0.2', true],
    ['v2.0.3', false],
    ['2.1.9', false],
  ])('warns of a containerd that does not ask while a plugin registers: %s, %s', async (version, isRacy) => {
    await listen();
    runtimeIs('containerd', version);
    const { findings } = await examine({ nriSocket });
    expect(findings.get('nri registration')?.status).toBe(isRacy ? 'warning' : undefined);
  });

  it('does not look for it where it is not used', async () => {
    const { findings } = await examine({ enforcement: 'stop' });
    expect(findings.get('nri')).toMatchObject({ status: 'ok', detail: 'not used: --enforcement stop' });
  });
});

describe('doctor and the state directory', () => {
  it('warns of one that others may read', async () => {
    chmodSync(state.stateDir, 0o755);
    expect((await examine()).findings.get('state directory')).toMatchObject({
      status: 'warning',
      advice: expect.stringContaining('chmod 0700'),
    });
  });

  it('is content with one that is not there yet, and does not make it', async () => {
    const stateDir = join(podsDirectory, 'deep', 'state');
    const { exitCode, findings } = await examine({ stateDir });
    expect(exitCode).toBe(0);
    expect(findings.get('state directory')?.detail).toContain('does not exist yet');
    expect(findings.get('records database')).toMatchObject({ status: 'ok' });
    expect((await examine({ stateDir })).findings.get('state directory')?.detail).toContain(
      'does not exist yet',
    );
  });

  it('fails for a file in its place', async () => {
    const stateDir = join(podsDirectory, 'file');
    writeFileSync(stateDir, '');
    const { exitCode, findings } = await examine({ stateDir });
    expect([exitCode, findings.get('state directory')?.status]).toEqual([1, 'failure']);
  });

  it('fails for a damaged database', async () => {
    writeFileSync(
      join(state.stateDir, 'records.db'),
      'no database at all, but long enough to be taken for one',
    );
    const { exitCode, findings } = await examine();
    expect([exitCode, findings.get('records database')?.status]).toEqual([1, 'failure']);
  });
});

describe('doctor and pods', () => {
  it('fails when there is no source', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '');
    vi.stubEnv('KUBECONFIG', '');
    vi.stubEnv('HOME', '/nowhere');
    const { exitCode, findings } = await examine({ podsDirectory: undefined });
    vi.unstubAllEnvs();
    expect([exitCode, findings.get('pods')?.status]).toEqual([1, 'failure']);
    expect(findings.get('pods')?.detail).toContain('kubeconfig or podsDirectory');
  });

  it('fails for a folder that is not there, and for a manifest that cannot be read', async () => {
    expect((await examine({ podsDirectory: '/nowhere' })).findings.get('pods')).toMatchObject({
      status: 'failure',
    });
    writeFileSync(join(podsDirectory, 'pod.yaml'), '{');
    expect((await examine()).findings.get('pods')?.detail).toContain('pod.yaml');
  });
});

describe('doctor and the clock', () => {
  const now = Date.UTC(2026, 5, 1);

  it('fails before 2024, and warns when something on record is from the future', () => {
    expect(checkClock(Date.UTC(1970, 0, 1), 0).status).toBe('failure');
    expect(checkClock(now, now + 3_600_000).status).toBe('warning');
    expect(checkClock(now, now - 1).status).toBe('ok');
  });
});

describe('doctor on a node where the runtime has ways of its own', () => {
  it('names the registries that only it reaches, and those that granted it something', async () => {
    const { store, savedState } = openRecordStore({ stateDir: state.stateDir, onNotice: () => undefined });
    writeSavedRuntimeRegistries(savedState, { onlyReached: ['far.example'], granted: ['open.example:5000'] });
    store.close();
    let text = '';
    const config = {
      runtimeEndpoint: runtime.socketPath,
      stateDir: state.stateDir,
      podsDirectory,
      ...elsewhere,
    };
    const exitCode = await runDoctor(config, { output: 'table', print: (part) => (text += part) });
    expect(exitCode).toBe(0);
    expect(text).toMatch(
      /WARNING\s+registries\s+only the runtime reaches far\.example: there its text decides/i,
    );
    expect(text).toMatch(/granted to the runtime itself.*images of open\.example:5000/);
  });
});
