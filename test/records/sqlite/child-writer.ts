import { writeSync } from 'node:fs';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { imageOf, refOf } from './child-images.ts';

/** Pulls and settles until it is killed, and says so around each step; with `intents` it settles nothing. */
const [stateDir = '', mode] = process.argv.slice(2);
const { store } = openRecordStore({ stateDir });
store.takeInventory([]);
for (let number = 0; ; number += 1) {
  say(`begun ${number}`);
  store.recordPullIntent(imageOf(number));
  if (mode === 'intents') {
    say(`intent ${number}`);
    continue;
  }
  const secret = {
    namespace: `team-${number}`,
    name: 'regcred',
    uid: `${number}`,
    credentialHash: `h${number}`,
  };
  store.recordImagePulled(imageOf(number), refOf(number), { kubernetesSecrets: [secret] });
  say(`settled ${number}`);
}

/** Written before it returns, so that what was said is true when the process is gone. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}
