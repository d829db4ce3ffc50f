import { beforeEach, describe, expect, it } from 'vitest';
import { type ContainerLedger, createContainerLedger } from '../../agent/runtime/container-ledger.ts';
import type { ContainerEventType } from '../../agent/runtime/cri-messages.ts';
import type { ContainerState, RuntimeContainer } from '../../agent/runtime/runtime.ts';

let told: string[];
let syncs: number;
let ledger: ContainerLedger;

beforeEach(() => {
  told = [];
  syncs = 0;
  ledger = createContainerLedger(
    {
      onContainer: (container, { preexisting, inFirstList }) =>
        told.push(`${preexisting ? 'preexisting' : inFirstList ? 'unseen' : 'new'} ${container.id}`),
      onState: (id, change) => told.push(`${change} ${id}`),
      onSynced: () => {
        syncs += 1;
      },
    },
    (id) => id.startsWith('old'),
  );
});

const listed = (id: string, state: ContainerState, createdAt = 2_000n): RuntimeContainer => ({
  id,
  podSandboxId: 'pod',
  state,
  createdAt,
  imageRef: 'image',
  containerName: 'app',
  pod: { namespace: 'team-a', name: 'web', uid: 'uid-1' },
  attempt: 0,
});
const event = (containerId: string, type: ContainerEventType) =>
  ledger.event({ containerId, type, podSandboxId: 'pod' });
const list = (...containers: RuntimeContainer[]) => ledger.listed(ledger.listingStarts(), containers, true);

describe('a list that was asked for before something happened', () => {
  it('does not bring back a container that was deleted meanwhile', () => {
    list();
    const stale = ledger.listingStarts();
    event('c1', 'started');
    event('c1', 'deleted');
    ledger.listed(stale, [listed('c1', 'running')], false);
    expect(told).toEqual([]);
  });

  it('does not report a container a second time after its deletion', () => {
    list();
    list(listed('c1', 'running'));
    const stale = ledger.listingStarts();
    event('c1', 'deleted');
    ledger.listed(stale, [listed('c1', 'running')], true);
    expect(told).toEqual(['new c1', 'deleted c1']);
    expect(ledger.size()).toBe(0);
  });

  it('does not take a container for gone that was found meanwhile', () => {
    list();
    const slow = ledger.listingStarts();
    event('c1', 'created');
    ledger.listed(ledger.listingStarts(), [listed('c1', 'created')], false);
    ledger.listed(slow, [], true);
    expect(told).toEqual(['new c1']);
    list();
    expect(told).toEqual(['new c1', 'deleted c1']);
  });

  it('does not take a state back', () => {
    list();
    list(listed('c1', 'created'));
    const stale = ledger.listingStarts();
    event('c1', 'started');
    ledger.listed(stale, [listed('c1', 'created')], true);
    list(listed('c1', 'running'));
    expect(told).toEqual(['new c1', 'started c1']);
  });
});

describe('what an event said before the container was listed', () => {
  it('is told after the container, if the list did not know it yet', () => {
    list();
    event('c1', 'created');
    event('c1', 'started');
    list(listed('c1', 'created'));
    expect(told).toEqual(['new c1', 'started c1']);
  });

  it('is not told twice', () => {
    list();
    event('c1', 'started');
    list(listed('c1', 'running'));
    event('c1', 'started');
    expect(told).toEqual(['new c1']);
  });
});

describe('lists alone', () => {
  it('tell starting, stopping and deletion once each', () => {
    list();
    for (const state of ['created', 'created', 'running', 'running', 'exited', 'exited'] as const)
      list(listed('c1', state));
    list();
    list();
    expect(told).toEqual(['new c1', 'started c1', 'stopped c1', 'deleted c1']);
  });

  it('tell of a container that ran and ended between two of them', () => {
    list();
    list(listed('c1', 'exited'));
    expect(told).toEqual(['new c1']);
  });

  it('call preexisting only what is in the first one and was seen by an earlier run', () => {
    list(listed('old', 'running'), listed('while-away', 'running'));
    list(listed('old', 'running'), listed('while-away', 'running'), listed('old-2', 'running'));
    expect(told).toEqual(['preexisting old', 'unseen while-away', 'new old-2']);
  });

  it('say the same whatever time the runtime gives, in whatever state its clock is', () => {
    list(listed('old-1', 'running', 0n), listed('old-2', 'running', 9_999_999_999_999_999_999n));
    expect(told).toEqual(['preexisting old-1', 'preexisting old-2']);
  });

  it('call preexisting what runs, whatever events the runtime has kept; what was created and ended is told', () => {
    event('old-1', 'created');
    event('old-2', 'started');
    event('c3', 'created');
    event('c3', 'started');
    event('c3', 'stopped');
    list(
      listed('old-1', 'created'),
      listed('old-2', 'running'),
      listed('c3', 'exited'),
      listed('c4', 'exited'),
    );
    expect(told).toEqual(['preexisting old-1', 'preexisting old-2', 'unseen c3']);
  });

  it('say once that what appears from now on is new: when the first complete one is taken in', () => {
    event('c1', 'created');
    ledger.listed(ledger.listingStarts(), [listed('c1', 'running')], false);
    expect(syncs).toBe(0);
    list(listed('c1', 'running'));
    list(listed('c1', 'running'));
    expect(syncs).toBe(1);
  });

  it('that failed change nothing', () => {
    list();
    list(listed('c1', 'running'));
    ledger.listingFailed(ledger.listingStarts());
    expect(told).toEqual(['new c1']);
    expect(ledger.knows('c1')).toBe(true);
  });
});
