import { loadavg } from 'node:os';
import { buildAgent, programOfImage } from '../../story/program-of-image.ts';
import { abusers } from './abusers.ts';
import { prepareGoodTenant } from './good-tenant.ts';
import { measureRow, type Row } from './row.ts';
import { openSharedNode } from './shared-node.ts';

export type AbuseFigures = {
  readonly rows: readonly Row[];
  /** Processes that were ready to run, on average over the last minute, at the beginning and at the end. */
  readonly load: readonly [number, number];
};

/** Of the agent's log, where a row fails. */
const LOG_CHARACTERS = 24_000;
/** Of the good tenant, in each phase. */
const PODS = 5;

export const abuserNames: readonly string[] = abusers.map(({ name }) => name);

/**
 * What one tenant can do to another through the agent: each row with a good tenant alone and beside an
 * abuser, on one node, with the agent built and started as in its image; then the good tenant without the
 * agent, beside the same abuser.
 *
 * @param names of the rows to measure; a name that comes twice is measured twice
 */
export async function benchAbuse(
  names: readonly string[],
  progress: (line: string) => void,
): Promise<AbuseFigures> {
  buildAgent();
  const before = loadavg()[0] ?? Number.NaN;
  const node = await openSharedNode(programOfImage());
  try {
    const tenant = await prepareGoodTenant(node, 3 * PODS);
    progress('the node is ready');
    const rows: Row[] = [];
    for (const abuser of names.flatMap((name) => abusers.filter((one) => one.name === name))) {
      progress(`${abuser.name}: ${abuser.does}`);
      rows.push(await measureRow(abuser, { node, tenant, pods: PODS, scale: 'whole', progress }));
    }
    return { rows, load: [before, loadavg()[0] ?? Number.NaN] };
  } catch (error) {
    progress(node.agent().log().slice(-LOG_CHARACTERS));
    throw error;
  } finally {
    await node.stop();
  }
}
