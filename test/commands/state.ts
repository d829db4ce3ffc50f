import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DecisionEntry, openDecisions } from '../../agent/records/decisions.ts';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';

export const PRIVATE_IMAGE = `sha256:${'a1'.repeat(32)}`;
export const PUBLIC_IMAGE = `sha256:${'b2'.repeat(32)}`;
export const KEYED_HASH = 'd15ea5e0'.repeat(8);

/**
 * A state directory as an agent leaves it: team-a's secret was good for one image, everyone may use another.
 */
export function stateDirectory(): { readonly stateDir: string; readonly remove: () => void } {
  const stateDir = mkdtempSync(join(tmpdir(), 'pullwarden-state-'));
  const { store } = openRecordStore({ stateDir });
  store.takeInventory([]);
  const secret = { namespace: 'team-a', name: 'registry', uid: 'u1', credentialHash: KEYED_HASH };
  store.mergeCredentials('registry.example/team-a/app:1', PRIVATE_IMAGE, { kubernetesSecrets: [secret] });
  store.mergeCredentials('registry.example/public:1', PUBLIC_IMAGE, { nodePodsAccessible: true });
  store.close();
  const decisions = openDecisions(stateDir);
  const hour = 3_600_000;
  decisions.append(decision({ time: Date.now() - 2 * hour, verdict: 'allowed', reason: 'preloaded' }));
  decisions.append(decision({ time: Date.now() - hour / 2, namespace: 'team-c' }));
  decisions.append(decision({ time: Date.now() - hour / 4, image: 'evil\u001b[2J\nallowed' }));
  decisions.close();
  return { stateDir, remove: () => rmSync(stateDir, { recursive: true }) };
}

export function decision(fields: Partial<DecisionEntry>): DecisionEntry {
  return {
    time: 0,
    namespace: 'team-b',
    pod: 'web',
    podUid: 'u',
    container: 'app',
    containerId: 'c',
    image: 'registry.example/team-a/app:1',
    imageRef: PRIVATE_IMAGE,
    pullPolicy: 'IfNotPresent',
    verdict: 'denied',
    reason: 'registryRefused',
    message: 'refused',
    mode: 'enforce',
    action: 'stop',
    outcome: 'stopped',
    durationMs: 1,
    ...fields,
  };
}
