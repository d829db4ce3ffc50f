export type Series = {
  readonly name: string;
  /** The name without a histogram's suffix. */
  readonly family: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

type Family = { readonly help: string; readonly type: string };

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/y;

/**
 * Reads Prometheus' text format 0.0.4 strictly; throws on any line that is not of it and on a series without
 * a family.
 */
export function parseExposition(text: string): { series: Series[]; families: ReadonlyMap<string, Family> } {
  const families = new Map<string, Family>();
  const series: Series[] = [];
  for (const line of text.split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (line === '') continue;
    if (keyword === 'HELP') families.set(name, { help: rest, type: '' });
    else if (keyword === 'TYPE') families.set(name, { help: families.get(name)?.help ?? '', type: rest });
    else series.push(sampleOf(line, families));
  }
  return { series, families };
}

function sampleOf(line: string, families: ReadonlyMap<string, Family>): Series {
  const [, name = '', labelText = '', valueText = ''] = SAMPLE.exec(line) ?? [];
  const value =
    valueText === 'Nan' || valueText === 'NaN' ? Number.NaN : Number(valueText.replace('+Inf', 'Infinity'));
  if (name === '' || (Number.isNaN(value) && valueText.toLowerCase() !== 'nan'))
    throw new Error(`no sample: ${line}`);
  const base = name.replace(/_(bucket|sum|count)$/, '');
  const family = families.get(base)?.type === 'histogram' ? base : name;
  if (!families.get(family)?.type) throw new Error(`no TYPE before: ${line}`);
  return { name, family, labels: labelsOf(labelText), value };
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let at = 0;
  while (at < text.length) {
    LABEL.lastIndex = at;
    const found = LABEL.exec(text);
    if (!found?.[1]) throw new Error(`no labels: ${text}`);
    labels[found[1]] = found[2] ?? '';
    at = LABEL.lastIndex;
  }
  return labels;
}
