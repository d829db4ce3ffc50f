import { openRecordStore } from '../../agent/records/sqlite/open.ts';

/** Opens the store in the folder that is named and prints how long that took, in ms. */
const before = performance.now();
const { store, degraded } = openRecordStore({ stateDir: process.argv[2] ?? '' });
const milliseconds = performance.now() - before;
store.close();
if (degraded) throw new Error(degraded.message);
process.stdout.write(String(milliseconds));
