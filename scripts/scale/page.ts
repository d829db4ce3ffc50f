import type { Paces } from './paces.ts';
import type { Parts } from './parts.ts';
import { CLUSTER_SIZES, type Scenario, scenariosOf } from './scenarios.ts';

/** The text of docs/scale.md with its tables made of these parts and paces. */
export function withTables(page: string, parts: Parts, paces: Paces): string {
  const scenarios = scenariosOf(parts, paces);
  const tables = {
    parts: partsTable(parts),
    paces: pacesTable(paces),
    api: sumsTable(scenarios, 'api'),
    registry: sumsTable(scenarios, 'registry'),
  };
  let text = page;
  for (const [name, table] of Object.entries(tables)) {
    const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
    const [before = '', rest = ''] = text.split(begin);
    const [, after = ''] = rest.split(end);
    text = `${before}${begin}\n${table}${end}${after}`;
  }
  return text;
}

function partsTable({ api, registry }: Parts): string {
  return tableOf(
    ['what happens on a node', 'requests to the API server', 'to the registry'],
    [
      ['the agent starts', api.agentStart, 0],
      ['a pod starts; its image and its secret are new to the agent', api.firstImage, registry.firstImage],
      ['another image of that registry, the same secret', api.nextImage, registry.nextImage],
      [
        'image and credential on record, the secret not read within a minute',
        api.onRecordUnread,
        registry.onRecord,
      ],
      ['the same, the secret read within a minute', api.onRecord, registry.onRecord],
      ['a minute after that, for all pods of these secrets together', api.recheck, 0],
      [
        'a pod pulls with its service account, new to the agent',
        `${api.withAccount} at most`,
        registry.firstImage,
      ],
      ['a container is refused', `${api.refusal} at most`, registry.refusal],
      ['kubelet tries it again', api.refusalAgain, registry.refusalAgain],
      ['for comparison: kubelet pulls an image of one layer', '', registry.kubeletsPull],
    ],
  );
}

function pacesTable(paces: Paces): string {
  const rows: readonly (readonly [string, number | string, string])[] = [
    ['watches of the pods an hour', paces.watchesPerHour, '`agent/kubernetes/timings.ts`, `watchMs`'],
    [
      'sweeps an hour, each a request per owner and namespace',
      paces.sweepsPerHour,
      '`agent/wiring/time.ts`, `SWEEP_MS`',
    ],
    [
      'questions to a registry that is away, an hour, per image and credential',
      paces.questionsInOutagePerHour,
      '`agent/access/proof/backoff.ts`, `with-backoff.ts`',
    ],
    [
      'a question that waits notices the end of an outage within, s',
      paces.outageNoticedWithin,
      '`agent/access/proof/with-backoff.ts`, `MAX_UNAVAILABLE_MS`',
    ],
    [
      'questions a day about a grant, with `--record-ttl 24h`',
      paces.renewalsPerDay.toFixed(2),
      '`agent/access/renewal/due.ts`',
    ],
    [
      'questions and sweeps in the background a minute, at most',
      paces.backgroundPerMinute,
      '`--background-questions`',
    ],
    ['questions to one registry at once, at most', paces.atOncePerRegistry, '`--max-parallel-pulls`'],
    [
      'the pods are watched again after the API server’s return within, s',
      paces.watchRetrySeconds,
      '`agent/kubernetes/timings.ts`, `retry`',
    ],
    [
      'containers that ran before the agent are judged within, s',
      paces.existingSeconds,
      '`--existing-containers-delay`',
    ],
  ];
  return tableOf(['what', 'how much', 'where it is set'], rows);
}

/** Per node as a sum, of the whole cluster as a rate over the time in which it is asked. */
function sumsTable(scenarios: readonly Scenario[], to: 'api' | 'registry'): string {
  const rows = scenarios
    .filter((scenario) => scenario[to] > 0)
    .map((scenario) => {
      const { what, seconds, share = 1 } = scenario;
      const rates = CLUSTER_SIZES.map((nodes) => `${rounded((scenario[to] * nodes * share) / seconds)}/s`);
      return [what, `${rounded(scenario[to])} in ${durationOf(seconds)}`, ...rates];
    });
  const sizes = CLUSTER_SIZES.map((nodes) => `${nodes.toLocaleString('en-GB')} nodes`);
  return tableOf(['', 'one node', ...sizes], rows);
}

function tableOf(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${lines.join('\n')}\n`;
}

function durationOf(seconds: number): string {
  if (seconds % 3_600 === 0) return seconds === 3_600 ? 'an hour' : `${seconds / 3_600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function rounded(value: number): string {
  return String(value >= 10 ? Math.round(value) : Number(value.toPrecision(2)));
}
