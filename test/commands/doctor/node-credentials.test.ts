import { chmodSync, chownSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  checkNodeCredentials,
  type NodeCredentialsConfig,
} from '../../../agent/commands/doctor/check-node-credentials.ts';
import type { Finding } from '../../../agent/commands/doctor/finding.ts';
import { serveTelemetry } from '../../../agent/telemetry/http.ts';
import { createMetrics } from '../../../agent/telemetry/metrics.ts';
import { type ApiServer, startApiServer } from '../../cluster/api-server/api-server.ts';
import {
  answer,
  IMAGE,
  prints,
  SECRET,
  type TestNode,
  TOKEN_ATTRIBUTES,
  testNode,
} from '../../credentials/test-node.ts';

function configOf(node: TestNode, more: Partial<NodeCredentialsConfig> = {}): NodeCredentialsConfig {
  return {
    kubeletRootDir: join(node.folder, 'kubelet'),
    dockerConfig: [],
    imageCredentialProviderConfig: join(node.folder, 'config'),
    imageCredentialProviderBinDir: join(node.folder, 'bin'),
    credentialProviderTimeout: 5_000,
    podsDirectory: undefined,
    kubeconfig: undefined,
    nodeName: 'lab',
    listenAddress: undefined,
    ...more,
  };
}

const COUNT = 'echo run >> "$FOLDER/runs"\n';

/** A node with one provider whose plugin prints its answer. */
function nodeWith(provider: object = {}, script = prints(answer())): TestNode {
  const node = testNode();
  node.configure({ ecr: provider });
  node.install('ecr', COUNT + script);
  return node;
}

async function find(
  node: TestNode,
  check: string,
  probe?: { readonly image: string; readonly pod?: string },
  more?: Partial<NodeCredentialsConfig>,
): Promise<Finding | undefined> {
  const wanted = probe && { image: probe.image, pod: probe.pod };
  const findings = await checkNodeCredentials(configOf(node, more), wanted);
  expect(JSON.stringify(findings)).not.toContain(SECRET);
  return findings.find((finding) => finding.check === check);
}

describe('doctor and the files of the node', () => {
  it('runs no plugin by itself', async () => {
    const node = nodeWith();
    expect(await find(node, 'provider ecr')).toMatchObject({
      status: 'ok',
      detail: join(node.folder, 'bin/ecr'),
    });
    expect(() => node.read('runs')).toThrow('ENOENT');
  });

  it.each<[string, (path: string) => void, Finding['status'], string]>([
    ['is not executable', (path) => chmodSync(path, 0o644), 'failure', 'cannot be executed'],
    ['may be written by everybody', (path) => chmodSync(path, 0o757), 'warning', 'by everybody'],
    ['belongs to somebody', (path) => chownSync(path, 65_534, 0), 'warning', 'by user 65534'],
    [
      'may be written by a group',
      (path) => {
        chownSync(path, 0, 65_534);
        chmodSync(path, 0o775);
      },
      'warning',
      'by group 65534',
    ],
    [
      'lies in a folder of everybody',
      (path) => chmodSync(join(path, '..'), 0o777),
      'warning',
      'by everybody',
    ],
  ])('finds a plugin that %s', async (_, spoil, status, words) => {
    const node = nodeWith();
    spoil(join(node.folder, 'bin/ecr'));
    const finding = await find(node, 'provider ecr');
    expect(finding).toMatchObject({ status });
    expect(finding?.detail).toContain(words);
  });

  it('finds a plugin that is not there, and one that is no program', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    expect(await find(node, 'provider ecr')).toMatchObject({ status: 'failure' });
    node.write('bin/ecr', 'no program');
    chmodSync(join(node.folder, 'bin/ecr'), 0o755);
    expect((await find(node, 'provider ecr'))?.detail).toContain('it is no program');
  });

  it('finds a configuration that kubelet would not start with', async () => {
    const node = nodeWith({ matchImages: [] });
    expect(await find(node, 'credential providers')).toMatchObject({ status: 'failure' });
  });

  it('finds that one of the two options is missing', async () => {
    const finding = await find(nodeWith(), 'credential providers', undefined, {
      imageCredentialProviderBinDir: undefined,
    });
    expect(finding?.detail).toContain('go together');
  });

  it('says which docker config counts, and which are passed over', async () => {
    const node = nodeWith();
    node.write('kubelet/config.json', `{"auths": {"${SECRET}"`);
    expect(await find(node, 'docker config')).toMatchObject({ status: 'warning' });
    node.write('kubelet/config.json', '{"auths": {}}');
    expect(await find(node, 'docker config')).toMatchObject({
      status: 'ok',
      detail: join(node.folder, 'kubelet/config.json'),
    });
  });
});

describe('doctor and the agent that runs', () => {
  it('says of each plugin how its runs ended', async () => {
    const metrics = createMetrics({ version: '0', revision: '0', nodeVersion: '0' });
    metrics.providerRun('ecr', 'answered');
    metrics.providerRun('ecr', 'tokenEchoed');
    metrics.providerRun('ecr', 'tokenEchoed');
    const server = await serveTelemetry({ listen: { host: '127.0.0.1', port: 0 }, metrics, checks: [] });
    const port = Number(server.address.split(':').at(-1));
    const listenAddress = { host: '127.0.0.1', port };
    const finding = await find(nodeWith(), 'provider ecr', undefined, { listenAddress });
    await server.close();
    expect(finding?.status).toBe('warning');
    expect(finding?.detail).toMatch(/since the agent started: 1 answered, 2 tokenEchoed$/);
  });
});

describe('doctor --probe', () => {
  it('says outcome, source and lifetime, and never the credential', async () => {
    const node = nodeWith({}, prints(answer(undefined, { cacheDuration: '12h' })));
    const finding = await find(node, 'probe ecr', { image: `${IMAGE}:1` });
    expect(finding?.status).toBe('ok');
    expect(finding?.detail).toMatch(
      /^1 credential for reg\.example\.com\/team-a\/app, to be used with the node's credentials \(provider ecr\); kept for 12h; answered in \d+ ms$/,
    );
    expect(node.read('runs')).toBe('run\n');
  });

  it.each([
    [
      'fails',
      `echo ${SECRET} >&2\nexit 1`,
      'failure',
      'exitedNonZero: plugin ecr: it ended with exit code 1',
    ],
    ['prints no JSON', prints(SECRET), 'failure', 'answerNotJson'],
    ['has an answer that is not kept', prints(answer()), 'ok', 'not kept'],
    ['has nothing for the image', prints(answer({})), 'warning', '0 credentials for'],
  ])('says of a plugin that it %s', async (_, script, status, words) => {
    const finding = await find(nodeWith({}, script), 'probe ecr', { image: IMAGE });
    expect(finding?.status).toBe(status);
    expect(finding?.detail).toContain(words);
  });

  it('says that no provider matches, and what is no image', async () => {
    expect((await find(nodeWith(), 'probe', { image: 'busybox' }))?.detail).toBe(
      'no provider matches docker.io/library/busybox',
    );
    expect(await find(nodeWith(), 'probe', { image: 'No Image' })).toMatchObject({ status: 'failure' });
  });

  it('asks for a pod where a provider needs a service account', async () => {
    const node = nodeWith({ tokenAttributes: TOKEN_ATTRIBUTES });
    expect(await find(node, 'probe ecr', { image: IMAGE })).toMatchObject({
      status: 'warning',
      advice: 'name a pod that has one with --pod',
    });
    expect(() => node.read('runs')).toThrow('ENOENT');
  });

  it.each(['team-a', 'team-a/', 'team-a/pod/app'])('does not take %s for a pod', async (pod) => {
    const finding = await find(nodeWith(), 'probe', { image: IMAGE, pod }, { kubeconfig: '/nowhere' });
    expect(finding).toMatchObject({ status: 'failure' });
  });
});

describe('doctor --probe for a pod of the API server', () => {
  let api: ApiServer;
  let kubeconfig = '';

  beforeAll(async () => {
    api = await startApiServer({ nodeName: 'lab' });
    kubeconfig = (await api.kubeconfig('system:node:lab')).path;
    const containers = [{ name: 'app', image: IMAGE, imagePullPolicy: 'IfNotPresent' }];
    api.putPod({
      metadata: { namespace: 'team-a', name: 'app' },
      spec: { serviceAccountName: 'builder', containers },
    });
    api.putServiceAccount({ metadata: { namespace: 'team-a', name: 'builder' } });
  }, 60_000);

  afterEach(() => api.revoke('system:node:lab'));
  afterAll(async () => api?.close());

  const probe = { image: IMAGE, pod: 'team-a/app' };

  it('gives the rule to apply where the audience is not allowed', async () => {
    const node = nodeWith({ tokenAttributes: TOKEN_ATTRIBUTES });
    const finding = await find(node, 'probe ecr', probe, { kubeconfig });
    expect(finding?.status).toBe('failure');
    expect(finding?.detail).toMatch(/^audienceForbidden: /);
    expect(finding?.detail).toContain('request-serviceaccounts-token-audience');
  });

  it("uses its service account's token", async () => {
    api.grant('system:node:lab', {
      verbs: ['request-serviceaccounts-token-audience'],
      resources: [TOKEN_ATTRIBUTES.serviceAccountTokenAudience],
    });
    const node = nodeWith({ tokenAttributes: TOKEN_ATTRIBUTES });
    const finding = await find(node, 'probe ecr', probe, { kubeconfig });
    expect(finding?.status).toBe('ok');
    expect(finding?.detail).toContain('to be used with service account team-a/builder through provider ecr');
  });

  it('says that there is no such pod', async () => {
    const finding = await find(nodeWith(), 'probe', { image: IMAGE, pod: 'team-a/other' }, { kubeconfig });
    expect(finding?.detail).toBe('there is no pod team-a/other on this node');
  });
});
