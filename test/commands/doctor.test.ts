import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as grpc } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Finding } from '../../agent/commands/doctor/finding.ts';
import { checkClock } from '../../agent/commands/doctor/state.ts';
import { runDoctor } from '../../agent/commands/doctor.ts';
import { createFakeRuntime, type FakeRuntime } from '../runtime/fake-runtime.ts';
import { stateDirectory } from './state.ts';

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

const noCluster = { kubeconfig: undefined, nodeName: 'node-a' };

async function examine(
  config: { runtimeEndpoint?: string; stateDir?: string; podsDirectory?: string | undefined } = {},
): Promise<{ exitCode: number; findings: Map<string, Finding> }> {
  let text = '';
  const exitCode = await runDoctor(
    { runtimeEndpoint: runtime.socketPath, stateDir: state.stateDir, podsDirectory, ...noCluster, ...config },
    { output: 'json', print: (part) => (text += part), nriSocket: '/nowhere/nri.sock' },
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

describe('doctor and the state directory', () => {
  it('warns of one that others may read', async () => {
    chmodSync(state.stateDir, 0o755);
    expect((await examine()).findings.get('state directory')).toMatchObject({
      status: 'warning',
      advice: expect.stringContaining('chmod 0700'),
    });
  });

  it('warns of one that is not there, and does not make it', async () => {
    const stateDir = join(podsDirectory, 'deep', 'state');
    const { exitCode, findings } = await examine({ stateDir });
    expect(exitCode).toBe(0);
    expect(findings.get('state directory')?.detail).toContain('does not exist yet');
    expect(findings.get('records database')).toMatchObject({ status: 'warning' });
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
