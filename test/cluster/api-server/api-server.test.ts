import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiServer, startApiServer } from './api-server.ts';
import { askRaw, type RawAnswer } from './client.ts';
import type { KubeObject } from './objects.ts';

/**
 * The double beside what a kube-apiserver 1.36.2 answered to the same questions. Requests there came over
 * HTTP/2 and from curl, for which the server indents; neither is compared.
 */
const captures = new URL('../../captures/apiserver/', import.meta.url);
const recorded = (name: string): string => readFileSync(new URL(name, captures), 'utf8');
const recordedObject = (name: string): KubeObject & { items: KubeObject[] } => JSON.parse(recorded(name));

let server: ApiServer;
let node: RequestOptions;

async function start(resourceVersion: number): Promise<void> {
  server = await startApiServer({ nodeName: 'lab', resourceVersion });
  const { certificateFile, keyFile } = await server.kubeconfig('system:node:lab');
  node = { ca: server.ca, cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
}

const ask = (path: string, options: RequestOptions & { body?: string; untilBytes?: number } = {}) =>
  askRaw(`${server.url}${path}`, { ...node, ...options });

const lab = 'fieldSelector=spec.nodeName%3Dlab';

/** Status line and names of headers, and the values that do not change from answer to answer. */
function headOf({ code, headers }: RawAnswer): Record<string, string> {
  const shown = Object.entries({ ...headers, ':status': String(code) }).map(([name, value]) => [
    name,
    ['cache-control', 'content-type', 'x-content-type-options', ':status'].includes(name) ? `${value}` : '…',
  ]);
  const hopByHop = ['connection', 'keep-alive', 'transfer-encoding'];
  return Object.fromEntries(shown.filter(([name = '']) => !hopByHop.includes(name)));
}

function recordedHead(name: string): Record<string, string> {
  const [status = '', ...lines] = recorded(name).trim().split(/\r?\n/);
  const headers = lines.map((line) => {
    const [key = '', value = ''] = line.split(': ');
    return [key, ['cache-control', 'content-type', 'x-content-type-options'].includes(key) ? value : '…'];
  });
  return Object.fromEntries([...headers, [':status', status.split(' ')[1] ?? '']]);
}

/** Pods as recorded, with the versions that they had. */
function putRecorded(objects: readonly KubeObject[], put: (object: KubeObject) => KubeObject): void {
  for (const object of objects) {
    server.setResourceVersion(Number(object.metadata.resourceVersion) - 1);
    put(object);
  }
}

beforeEach(() => start(300));
afterEach(() => server.close());

describe('the test API server answers as a kube-apiserver did', () => {
  it('to a list of the pods of a node', async () => {
    const list = recordedObject('list-pods.json');
    putRecorded(list.items, server.putPod);
    server.setResourceVersion(345);
    const answer = await ask(`/api/v1/pods?${lab}`);
    expect(JSON.parse(answer.body)).toEqual(list);
    expect(headOf(answer)).toEqual(recordedHead('list-pods.headers'));
  });

  it('to a list with a limit: one page and the token for the next', async () => {
    putRecorded(recordedObject('list-pods.json').items, server.putPod);
    server.setResourceVersion(345);
    const answer = await ask(`/api/v1/pods?${lab}&limit=1`);
    const page = JSON.parse(answer.body);
    expect(page).toEqual(recordedObject('list-pods-limit1.json'));
    expect(headOf(answer)).toEqual(recordedHead('list-pods-limit1.headers'));
    const next = JSON.parse(
      (await ask(`/api/v1/pods?${lab}&limit=5&continue=${page.metadata.continue}`)).body,
    );
    expect(next.items.map((pod: KubeObject) => pod.metadata.name)).toEqual(['bnever', 'cwrong']);
    expect(next.metadata).toEqual({ resourceVersion: '345' });
  });

  it('to a list as of a version long past', async () => {
    server.setResourceVersion(1);
    putRecorded(recordedObject('list-pods.json').items, server.putPod);
    const answer = await ask(`/api/v1/pods?${lab}&resourceVersion=1&resourceVersionMatch=Exact`);
    expect(JSON.parse(answer.body)).toEqual(recordedObject('list-expired.json'));
    expect(headOf(answer)).toEqual(recordedHead('list-expired.headers'));
  });

  it('to a list with a limit and a version: exactly that version, unless NotOlderThan is said', async () => {
    server.putPod({ metadata: { name: 'old', namespace: 'team-a' }, spec: { containers: [] } });
    const then = server.resourceVersion();
    server.putPod({ metadata: { name: 'new', namespace: 'team-a' }, spec: { containers: [] } });
    const namesOf = async (query: string): Promise<string[]> => {
      const { body } = await ask(`/api/v1/pods?${lab}&limit=500&resourceVersion=${then}${query}`);
      return JSON.parse(body).items.map(({ metadata }: KubeObject) => metadata.name);
    };
    expect(await namesOf('')).toEqual(['old']);
    expect(await namesOf('&resourceVersionMatch=NotOlderThan')).toEqual(['new', 'old']);
    server.compact();
    const compacted = await ask(`/api/v1/pods?${lab}&limit=500&resourceVersion=${then}`);
    expect(JSON.parse(compacted.body)).toMatchObject({ code: 410, reason: 'Expired' });
  });

  it('to a watch after it was killed and started again: from before, too old; from now on, as ever', async () => {
    const before = server.resourceVersion();
    server.putPod({ metadata: { name: 'a', namespace: 'team-a' }, spec: { containers: [] } });
    await server.stop();
    await server.start('lost');
    const old = await ask(`/api/v1/pods?${lab}&watch=true&resourceVersion=${before}`);
    expect(JSON.parse(old.body)).toMatchObject({ type: 'ERROR', object: { code: 410 } });
    const now = ask(`/api/v1/pods?${lab}&watch=true&resourceVersion=${server.resourceVersion()}`);
    await until(() => server.watches().length === 1);
    server.putPod({ metadata: { name: 'b', namespace: 'team-a' }, spec: { containers: [] } });
    for (const watch of server.watches()) watch.end();
    expect(JSON.parse((await now).body)).toMatchObject({
      type: 'ADDED',
      object: { metadata: { name: 'b' } },
    });
  });

  it('to a watch: line by line what was recorded, bookmarks too', async () => {
    const lines = recorded('watch-pods.jsonl').trimEnd().split('\n');
    const watching = ask(`/api/v1/pods?${lab}&watch=true&resourceVersion=300&allowWatchBookmarks=true`);
    await until(() => server.watches().length === 1);
    for (const line of lines) {
      const { type, object } = JSON.parse(line);
      const version = Number(object.metadata.resourceVersion);
      if (type === 'BOOKMARK') {
        server.setResourceVersion(version);
        for (const watch of server.watches()) watch.bookmark();
      } else {
        server.setResourceVersion(version - 1);
        if (type === 'DELETED') server.deletePod(object.metadata.namespace, object.metadata.name);
        else server.putPod(object);
      }
    }
    for (const watch of server.watches()) watch.end();
    const answer = await watching;
    const normal = (line: string): unknown => JSON.parse(line);
    expect(answer.body.trimEnd().split('\n').map(normal)).toEqual(lines.map(normal));
    expect(headOf(answer)).toEqual(recordedHead('watch-pods.headers'));
  });

  it('to a watch from a version that is too old: 200, an ERROR event, the end', async () => {
    server.setResourceVersion(380);
    server.forgetWatchHistory();
    const answer = await ask(`/api/v1/pods?${lab}&watch=true&resourceVersion=1`);
    expect(answer.body).toBe(recorded('watch-too-old.jsonl'));
    expect(headOf(answer)).toEqual(recordedHead('watch-too-old.headers'));
  });

  it('to a watch from a version of the future: 200 and nothing', async () => {
    const answer = await ask(
      `/api/v1/pods?${lab}&watch=true&resourceVersion=99999999&timeoutSeconds=1&allowWatchBookmarks=true`,
    );
    expect(answer.body).toBe(recorded('watch-future-rv.jsonl'));
    expect(headOf(answer)).toEqual(recordedHead('watch-future.headers'));
  });

  it('to a GET of a pod, of one of many kinds of container, and of a mirror pod', async () => {
    for (const name of ['pod-get.json', 'pod-many-kinds.json', 'pod-mirror.json']) {
      const pod = recordedObject(name);
      putRecorded([pod], server.putPod);
      const { namespace, name: podName } = pod.metadata;
      const answer = await ask(`/api/v1/namespaces/${namespace}/pods/${podName}`);
      expect(JSON.parse(answer.body)).toEqual(pod);
      expect(headOf(answer)).toEqual(recordedHead('pod-get.headers'));
    }
  });

  it('to a GET of a secret that a pod of the node names, of one that none does, and of one that is not there', async () => {
    const alice = recordedObject('secret-allowed.json');
    putRecorded([alice], server.putSecret);
    putRecorded(recordedObject('list-pods.json').items, server.putPod);
    const allowed = await ask('/api/v1/namespaces/team-a/secrets/alice');
    expect(JSON.parse(allowed.body)).toEqual(alice);
    expect(headOf(allowed)).toEqual(recordedHead('secret-allowed.headers'));

    const refused = await ask('/api/v1/namespaces/team-c/secrets/bob');
    expect(JSON.parse(refused.body)).toEqual(recordedObject('secret-forbidden.json'));
    expect(headOf(refused)).toEqual(recordedHead('secret-forbidden.headers'));

    const admin = 'admin';
    server.grant(admin, { verbs: ['get'], resources: ['secrets'] });
    const headers = { authorization: `Bearer ${server.issueToken(admin)}` };
    const missing = await askRaw(`${server.url}/api/v1/namespaces/team-a/secrets/nosuch`, {
      ca: server.ca,
      headers,
    });
    expect(JSON.parse(missing.body)).toEqual(recordedObject('secret-notfound.json'));
    expect(headOf(missing)).toEqual(recordedHead('secret-notfound.headers'));
  });

  it('to lists that a node may not have', async () => {
    const pods = await ask('/api/v1/pods');
    expect(JSON.parse(pods.body)).toEqual(recordedObject('pods-unfiltered-node.json'));
    expect(headOf(pods)).toEqual(recordedHead('pods-all-forbidden.headers'));
    const secrets = await ask('/api/v1/namespaces/team-a/secrets');
    expect(JSON.parse(secrets.body)).toEqual(recordedObject('secrets-list-forbidden.json'));
    expect(headOf(secrets)).toEqual(recordedHead('secrets-list-forbidden.headers'));
  });

  it('to a bearer token that is not one of its own', async () => {
    const answer = await askRaw(`${server.url}/api/v1/pods`, {
      ca: server.ca,
      headers: { authorization: 'Bearer nonsense' },
    });
    expect(JSON.parse(answer.body)).toEqual(recordedObject('unauthorized.json'));
    expect(headOf(answer)).toEqual(recordedHead('unauthorized.headers'));
  });

  it('to a ServiceAccount and the question for its version', async () => {
    putRecorded([recordedObject('serviceaccount-get.json')], server.putServiceAccount);
    putRecorded(recordedObject('list-pods.json').items, server.putPod);
    const account = await ask('/api/v1/namespaces/team-a/serviceaccounts/default');
    expect(JSON.parse(account.body)).toEqual(recordedObject('serviceaccount-get.json'));
    expect(headOf(account)).toEqual(recordedHead('serviceaccount-get.headers'));
    const version = await ask('/version');
    expect(JSON.parse(version.body)).toEqual(JSON.parse(recorded('version.json')));
    expect(headOf(version)).toEqual(recordedHead('version.headers'));
  });

  it('to a TokenRequest for an audience that the pod does not use, and for an account that no pod uses', async () => {
    putRecorded([recordedObject('serviceaccount-get.json')], server.putServiceAccount);
    const pods = recordedObject('list-pods.json').items;
    putRecorded(pods, server.putPod);
    const pod = pods.find(({ metadata }) => metadata.namespace === 'team-a');
    const boundObjectRef = {
      kind: 'Pod',
      apiVersion: 'v1',
      name: pod?.metadata.name,
      uid: pod?.metadata.uid,
    };
    const request = (namespace: string) =>
      ask(`/api/v1/namespaces/${namespace}/serviceaccounts/default/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ spec: { audiences: ['registry.example.com'], boundObjectRef } }),
      });
    const audience = await request('team-a');
    expect(JSON.parse(audience.body)).toEqual(recordedObject('token-request.json'));
    const unrelated = await request('kube-system');
    expect(JSON.parse(unrelated.body)).toEqual(recordedObject('token-request-forbidden.json'));
    expect(headOf(unrelated)).toEqual(recordedHead('token-request-otherpod.headers'));
  });

  it('to an Event that is created, but for who manages which of its fields', async () => {
    const { metadata, ...event } = recordedObject('event-create.json');
    const { managedFields, ...known } = metadata;
    server.setResourceVersion(345);
    const { eventTime, reportingComponent, reportingInstance, ...sent } = event;
    const body = JSON.stringify({ ...sent, metadata: { generateName: 'a1.' } });
    const answer = await ask('/api/v1/namespaces/team-a/events', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const created = JSON.parse(answer.body);
    const anew = { name: created.metadata.name, uid: created.metadata.uid };
    expect(created).toEqual({
      ...event,
      metadata: { ...known, ...anew, creationTimestamp: created.metadata.creationTimestamp },
    });
    expect(created.metadata.name).toMatch(/^a1\.[a-z0-9]{5}$/);
    expect(headOf(answer)).toEqual(recordedHead('event-create.headers'));
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
