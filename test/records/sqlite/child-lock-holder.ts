import { tryAgentLock } from '../../../agent/records/sqlite/agent-lock.ts';

/** Takes the lock of a state directory and keeps it until it is killed. */
const attempt = tryAgentLock(process.argv[2] ?? '');
process.stdout.write('acquired' in attempt ? 'locked\n' : 'held by another\n');
setInterval(() => attempt, 60_000);
