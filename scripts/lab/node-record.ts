import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LabError } from './errors.ts';
import { identify, type ProcessIdentity } from './processes.ts';

const processIdentity = z.object({ pid: z.number().int().positive(), startTime: z.string() });
const nodeRecord = z.object({
  owner: processIdentity,
  children: z.array(processIdentity),
  /** The cgroup that holds the node's containers, from the root of each hierarchy. */
  cgroup: z.string().regex(/^\/pullwarden-[A-Za-z0-9]+$/),
  socket: z.string(),
});

/** What somebody else needs to know to clear a node away. */
export type NodeRecord = z.infer<typeof nodeRecord>;

/** A node's record that grows as it starts processes. */
export interface KeptRecord {
  record: NodeRecord;
  addChild(child: ProcessIdentity): Promise<void>;
}

/** Writes `node.json` into a new node's folder; this process is the owner. */
export async function keepRecord(folder: string, cgroup: string, socket: string): Promise<KeptRecord> {
  const owner = await identify(process.pid);
  if (owner === undefined) throw new LabError('cannot read /proc/self');
  const record: NodeRecord = { owner, children: [], cgroup, socket };
  let last = Promise.resolve();
  const save = () => {
    last = last.then(async () => {
      await writeFile(join(folder, 'node.json.new'), JSON.stringify(record), { mode: 0o600 });
      await rename(join(folder, 'node.json.new'), join(folder, 'node.json'));
    });
    return last;
  };
  await save();
  return {
    record,
    addChild(child) {
      record.children.push(child);
      return save();
    },
  };
}

/** Reads a node's record; undefined when there is none or it cannot be understood. */
export async function readRecord(folder: string): Promise<NodeRecord | undefined> {
  try {
    return nodeRecord.parse(JSON.parse(await readFile(join(folder, 'node.json'), 'utf8')));
  } catch {
    return undefined;
  }
}
