import { writeSync } from 'node:fs';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { imageOf, imageRefOf } from './sample-state.ts';

/** Pulls and settles until it is killed, from a number on, and says so around each step. */
const [stateDir = '', from = '0'] = process.argv.slice(2);
const { store } = openRecordStore({ stateDir });
store.takeInventory([]);
say('open');
for (let n = Number(from); ; n += 1) {
  say(`begun ${n}`);
  store.recordPullIntent(imageOf(n));
  const secret = { namespace: `team-${n}`, name: 'regcred', uid: `${n}`, credentialHash: `h${n}` };
  store.recordImagePulled(imageOf(n), imageRefOf(n), { kubernetesSecrets: [secret] });
  say(`settled ${n}`);
}

/** Written before it returns, so that what was said is true when the process is gone. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}
