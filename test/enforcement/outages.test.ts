import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Cell, outageMatrix, outageTable } from '../../scripts/outages/matrix.ts';

const shown = /<!-- outages:begin -->\n([\s\S]*?)<!-- outages:end -->/.exec(
  readFileSync(new URL('../../docs/outages.md', import.meta.url), 'utf8'),
)?.[1];

let cells: readonly Cell[] = [];
beforeAll(async () => {
  cells = await outageMatrix();
}, 180_000);

const which = (holds: (cell: Cell) => boolean) => cells.filter(holds);
const isRunning = ({ says }: Cell) => says.startsWith('runs');

describe('the outage matrix', () => {
  it('is in docs/outages.md, cell by cell', () => {
    expect(cells).toHaveLength(5 * 7 * 3 * 3);
    expect(shown?.split('\n')).toEqual(outageTable(cells).split('\n'));
  });

  it('lets nothing run that has neither a record nor standing, but what was granted', () => {
    const running = which((cell) => cell.known === 'neither' && isRunning(cell));
    expect(running.filter(({ fault }) => fault !== 'slow 5 s')).toEqual([]);
  });

  it('stops nothing that runs and has standing', () => {
    expect(which((cell) => cell.known !== 'neither' && cell.container !== 'new' && !isRunning(cell))).toEqual(
      [],
    );
  });

  it('makes no refusal of any fault', () => {
    expect(which(({ says }) => says.includes('registryRefused'))).toEqual([]);
  });
});
