import { openRecordStore } from '../../agent/records/sqlite/open.ts';

/** Opens the store in the folder that is named and prints how long that took, in ms. */
const before = performance.now();
const { store } = openRecordStore({ stateDir: process.argv[2] ?? '' });
const milliseconds = performance.now() - before;
if (store.degraded) throw new Error(store.degraded.message);
store.close();
process.stdout.write(String(milliseconds));
