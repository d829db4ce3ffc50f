import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { runCommand } from '../../scripts/lab/command.ts';
import { unpackedPackage } from '../../scripts/lab/packages.ts';
import { type KubernetesObject, repository } from './kustomize.ts';

const chart = join(repository, 'manifests/chart');
const chartFile = z.object({ version: z.string(), appVersion: z.string() });

export type Values = Readonly<Record<string, unknown>>;

export async function chartMetadata(): Promise<z.infer<typeof chartFile>> {
  return chartFile.parse(parse(await readFile(join(chart, 'Chart.yaml'), 'utf8')));
}

/** What values.yaml says, with some of its top-level keys replaced. */
export async function valuesWith(changed: Values): Promise<Values> {
  const defaults: unknown = parse(await readFile(join(chart, 'values.yaml'), 'utf8'));
  return { ...z.record(z.string(), z.unknown()).parse(defaults), ...changed };
}

/**
 * The objects of the chart as `helm template` would print them. Helm cannot be had here; what renders is Go's
 * own text/template in kubectl (Debian's package, never installed), which is Helm's engine without the
 * functions that it adds, and the chart uses none of those. kubectl prints the extensions of a kubeconfig
 * with any template, so the values are one.
 */
export async function renderChart(changed: Values = {}): Promise<KubernetesObject[]> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-chart-'));
  try {
    const data = {
      Values: await valuesWith(changed),
      Release: { Name: 'pullwarden', Namespace: 'pullwarden' },
      Chart: { AppVersion: (await chartMetadata()).appVersion },
    };
    const config = { apiVersion: 'v1', kind: 'Config', extensions: [{ name: 'chart', extension: data }] };
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await writeFile(join(folder, 'template'), await allTemplates());
    const text = await kubectl(
      ...['config', 'view', '--raw', '--kubeconfig', join(folder, 'config.json')],
      ...['--output', `go-template-file=${join(folder, 'template')}`],
    );
    return parseAllDocuments(text).flatMap((document) => objectOf(document.toJS()));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Each file a template of its own, as for Helm: `$` is the data that it is given. */
async function allTemplates(): Promise<string> {
  const names = (await readdir(join(chart, 'templates'))).sort();
  const parts = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(chart, 'templates', name), 'utf8');
      return `{{ define "${name}" }}${text}{{ end }}`;
    }),
  );
  const calls = names.map((name) => `---\n{{ template "${name}" .extension }}\n`);
  return `${parts.join('')}{{ range .extensions }}${calls.join('')}{{ end }}`;
}

async function kubectl(...args: string[]): Promise<string> {
  const { root } = await unpackedPackage('kubernetes-client', ['bookworm'], /^1\./);
  return runCommand(join(root, 'usr/bin/kubectl'), args);
}

/** Empty where nothing was rendered for a file. */
function objectOf(value: unknown): KubernetesObject[] {
  if (value === null) return [];
  const object = z.looseObject({ apiVersion: z.string(), kind: z.string() }).parse(value);
  return [object];
}
