import { fileURLToPath } from 'node:url';
import { openSharedNode } from '../bench/abuse/shared-node.ts';
import { measureParts } from './measure.ts';

/**
 * `node scripts/scale/main.ts`: counts what each thing that happens on a node costs API server and registry,
 * and prints it. The sums of docs/scale.md are made of these (`node scripts/scale/table.ts` writes them).
 */
const agent = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const node = await openSharedNode([agent]);
try {
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  const { parts, watchSeconds } = await measureParts(node, { patient: true, tell });
  tell(`a watch is to last ${watchSeconds} s`);
  tell(JSON.stringify(parts));
} finally {
  await node.stop();
}
