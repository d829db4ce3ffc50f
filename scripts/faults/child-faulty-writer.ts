import { RecordStoreError } from '../../agent/errors.ts';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { imageOf, imageRefOf } from './sample-state.ts';

/**
 * Settles some pulls, on a disk that fails at some point, and says which are on it: `settled N`. Ends
 * without closing.
 */
const [stateDir = '', from = '0', count = '6'] = process.argv.slice(2);
const pending: number[] = [];
const opened = openOrNothing();
if (opened) {
  const { store } = opened;
  for (let n = Number(from); n < Number(from) + Number(count); n += 1) {
    const secret = { namespace: `team-${n}`, name: 'regcred', uid: `${n}`, credentialHash: `h${n}` };
    process.stdout.write(`begun ${n}\n`);
    try {
      store.recordPullIntent(imageOf(n));
      store.recordImagePulled(imageOf(n), imageRefOf(n), { kubernetesSecrets: [secret] });
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      continue;
    }
    pending.push(n);
    // Kept in memory until then.
    if (store.degraded) continue;
    for (const settled of pending.splice(0)) process.stdout.write(`settled ${settled}\n`);
  }
}

function openOrNothing() {
  try {
    return openRecordStore({ stateDir });
  } catch (error) {
    if (!(error instanceof RecordStoreError)) throw error;
    process.stdout.write(`refused ${error.reason}\n`);
    return undefined;
  }
}
