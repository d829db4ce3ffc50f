import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiClient, createApiClient } from '../../agent/kubernetes/api-client.ts';
import type { PodEvent } from '../../agent/kubernetes/event-correlator.ts';
import { createEvents, type Events, type EventsOptions } from '../../agent/kubernetes/events.ts';
import { createIdentity } from '../../agent/kubernetes/identity.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import type { Fault } from '../cluster/api-server/faults.ts';
import { podObject } from '../pods/kubernetes/objects.ts';
import { eventually, NODE_USER } from '../pods/kubernetes/scene.ts';

let server: ApiServer;
let client: ApiClient;
let events: Events;
let problems: string[];
let now: number;

beforeEach(async () => {
  server = await startApiServer({ nodeName: 'lab' });
  server.putPod(podObject('web', { uid: 'uid-web' }));
  problems = [];
  now = Date.parse('2026-11-23T04:00:00.123Z');
  await open();
});

afterEach(async () => {
  await events.close(0);
  client.close();
  await server.close();
});

async function open(
  options: Partial<EventsOptions> = {},
  { user = NODE_USER, timeoutMs = 300 } = {},
): Promise<void> {
  const { path: kubeconfig } = await server.kubeconfig(user, { by: 'token' });
  client = createApiClient({ identity: createIdentity({ kubeconfig }), timeoutMs });
  events = createEvents({
    client,
    nodeName: 'lab',
    onProblem: (problem) => problems.push(problem),
    retryMs: 20,
    tries: 5,
    now: () => now,
    ...options,
  });
}

const denied = (message = 'refused', name = 'web'): PodEvent => ({
  pod: { namespace: 'team-a', name, uid: `uid-${name}` },
  fieldPath: 'spec.containers{app}',
  reason: 'ImageAccessDenied',
  message,
});

const sent = (count: number): Promise<void> => eventually(() => expect(events.counts().sent).toBe(count));
const fault = (does: Fault['does'], times?: number) =>
  server.fault({ on: { resource: 'events' }, does, ...(times !== undefined && { times }) });

describe('an Event', () => {
  it('is created on the pod as kubelet creates its own', async () => {
    events.report(denied());
    await sent(1);
    expect(server.events()).toEqual([
      {
        metadata: {
          name: expect.stringMatching(/^web\.[0-9a-f]{16}$/),
          namespace: 'team-a',
          uid: expect.any(String),
          resourceVersion: expect.any(String),
          creationTimestamp: expect.any(String),
        },
        involvedObject: {
          kind: 'Pod',
          apiVersion: 'v1',
          namespace: 'team-a',
          name: 'web',
          uid: 'uid-web',
          fieldPath: 'spec.containers{app}',
        },
        reason: 'ImageAccessDenied',
        message: 'refused',
        source: { component: 'pullwarden', host: 'lab' },
        firstTimestamp: '2026-11-23T04:00:00Z',
        lastTimestamp: '2026-11-23T04:00:00Z',
        count: 1,
        type: 'Warning',
        eventTime: null,
        reportingComponent: 'pullwarden',
        reportingInstance: 'lab',
      },
    ]);
  });

  it('that says what was said before raises the count of that one', async () => {
    events.report(denied());
    await sent(1);
    now += 90_000;
    events.report(denied());
    events.report(denied());
    await sent(3);
    expect(server.events()).toMatchObject([
      { count: 3, firstTimestamp: '2026-11-23T04:00:00Z', lastTimestamp: '2026-11-23T04:01:30Z' },
    ]);
    const methods = server.requests().map(({ method }) => method);
    expect(methods).toEqual(['POST', 'PATCH', 'PATCH']);
  });

  it('of another pod, or with another text, is another one', async () => {
    server.putPod(podObject('other', { uid: 'uid-other' }));
    events.report(denied());
    events.report(denied('refused again'));
    events.report(denied('refused', 'other'));
    await sent(3);
    expect(server.events().map(({ count }) => count)).toEqual([1, 1, 1]);
  });

  it('whose predecessor has expired is a new one', async () => {
    events.report(denied());
    await sent(1);
    server.deleteEvents();
    events.report(denied());
    await sent(2);
    expect(server.events()).toMatchObject([{ count: 1 }]);
  });

  it('among many of one pod that differ says that they were combined, and counts', async () => {
    for (let index = 0; index < 14; index += 1) events.report(denied(`refused ${index}`));
    await sent(14);
    expect(server.events()).toHaveLength(11);
    expect(server.events().at(-1)).toMatchObject({
      message: '(combined from similar events): refused 13',
      count: 4,
    });
  });

  it('too many of one pod is not sent but counted', async () => {
    for (let index = 0; index < 30; index += 1) events.report(denied());
    await sent(25);
    expect(events.counts()).toEqual({ sent: 25, limited: 5, dropped: 0 });
    expect(server.events()).toMatchObject([{ count: 25 }]);
  });

  it('has a valid name however its pod is called, and a text that ends', async () => {
    const name = `${'a'.repeat(219)}-${'b'.repeat(30)}`;
    server.putPod(podObject(name, { uid: 'uid' }));
    events.report(denied('x'.repeat(5_000), name));
    await sent(1);
    expect(String(server.events()[0]?.message)).toHaveLength(1_024);
  });

  it('on what could be no pod is not sent', async () => {
    events.report({ ...denied(), pod: { namespace: '../../nodes', name: 'web', uid: 'u' } });
    expect(events.counts().dropped).toBe(1);
    expect(server.requests()).toEqual([]);
  });

  it('keeps its limits when the clock is set back', async () => {
    let monotonic = 0;
    await open({ monotonicNow: () => monotonic });
    for (let index = 0; index < 26; index += 1) events.report(denied());
    now -= 365 * 86_400_000;
    monotonic += 300_001;
    events.report(denied());
    await sent(26);
    expect(events.counts().limited).toBe(1);
  });
});

describe('Events while the API server', () => {
  it.each([
    ['breaks connections', { kind: 'drop' }],
    ['does not answer', { kind: 'hang' }],
    ['answers 500', { kind: 'status', code: 500 }],
    ['is overloaded', { kind: 'status', code: 429, retryAfterSeconds: 0 }],
  ] as const)('%s are tried again, told once, and then arrive', async (_, does) => {
    fault(does, 2);
    events.report(denied());
    await sent(1);
    expect(server.events()).toMatchObject([{ count: 1 }]);
    expect(problems.length).toBeLessThanOrEqual(1);
    expect(events.counts().dropped).toBe(0);
  });

  it('is away for long are given up in the end, one after the other', async () => {
    await server.stop();
    events.report(denied());
    await eventually(() => expect(events.counts().dropped).toBe(1));
    expect(problems).toEqual([expect.stringMatching(/^an Event was not accepted: .*ECONNREFUSED/)]);
    await server.start();
    events.report(denied('later'));
    await sent(1);
  });

  it('is away fill a queue that has an end', async () => {
    await open({ maxQueued: 3, tries: 1_000 });
    await server.stop();
    for (let index = 0; index < 8; index += 1) events.report(denied(`refused ${index}`));
    expect(events.counts().dropped).toBe(4);
    await server.start();
    await sent(4);
  });

  it('refuses them are not tried again, and the refusal is told once', async () => {
    await open({}, { user: 'system:serviceaccount:pullwarden:agent' });
    events.report(denied());
    events.report(denied());
    await eventually(() => expect(events.counts().dropped).toBe(2));
    expect(server.requestsFor('create', 'events')).toHaveLength(2);
    expect(problems).toEqual([
      expect.stringContaining('cannot create resource "events" in API group "" in the namespace "team-a"'),
    ]);
  });

  it('took one and its answer was lost: it is there once', async () => {
    server.fault({
      on: { verb: 'create', resource: 'events' },
      times: 1,
      does: { kind: 'cut', afterBytes: 1 },
    });
    events.report(denied());
    await sent(1);
    events.report(denied());
    await sent(2);
    expect(server.events()).toMatchObject([{ count: 2 }]);
  });
});

describe('closing', () => {
  it('sends what is queued first, and takes nothing more', async () => {
    for (let index = 0; index < 5; index += 1) events.report(denied(`refused ${index}`));
    await events.close(2_000);
    expect(server.events()).toHaveLength(5);
    events.report(denied());
    expect(events.counts()).toEqual({ sent: 5, limited: 0, dropped: 1 });
  });

  it('waits no longer than it may, and says nothing of what it gave up', async () => {
    await open({}, { timeoutMs: 3_600_000 });
    fault({ kind: 'hang' });
    for (let index = 0; index < 5; index += 1) events.report(denied(`refused ${index}`));
    await events.close(100);
    expect(events.counts()).toEqual({ sent: 0, limited: 0, dropped: 5 });
    expect(problems).toEqual([]);
  });
});
