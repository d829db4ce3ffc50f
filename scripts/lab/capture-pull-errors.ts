import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { CriError } from './cri.ts';
import { LabError, PackageUnavailable } from './errors.ts';
import { type LabNode, startNode } from './node.ts';
import { type ContainerdSeries, containerdSeries, parseSeries } from './programs.ts';
import { type PullErrorCase, pullErrorCases } from './pull-error-cases.ts';

const captures = join(import.meta.dirname, '../../test/captures');

async function outcome({ kubelet }: LabNode, { image, auth, deadlineMs }: PullErrorCase): Promise<string> {
  try {
    await kubelet.pullImage(image, auth, deadlineMs ?? 60_000);
    return 'code=0(OK) msg=';
  } catch (error) {
    if (!(error instanceof CriError)) throw error;
    return `code=${error.code}(${status[error.code]}) msg=${error.details}`;
  }
}

// Ports, addresses and times that differ from run to run are written as fixed ones.
function steady(text: string, hosts: Record<string, string>): string {
  let result = text;
  for (const [host, name] of Object.entries(hosts)) result = result.replaceAll(host, name);
  return result
    .replace(/127\.0\.0\.1:\d+->/g, '127.0.0.1:40000->')
    .replace(/http:\/\/127\.0\.0\.1:\d+\/token/g, (url) =>
      /:500\d\//.test(url) ? url : 'http://127.0.0.1:5004/token',
    )
    .replace(/ on [\d.]+:53\b/g, ' on 192.0.2.53:53')
    .replace(/Deadline exceeded after .*/, 'Deadline exceeded after 3.000s');
}

/** Writes `pull-errors-token-<version>.txt`; returns its text. */
export async function capturePullErrors(series: ContainerdSeries): Promise<string> {
  const node = await startNode({ containerd: series });
  try {
    const { cases, hosts, close } = await pullErrorCases(node);
    const version = /^[\d.]+/.exec(node.version)?.[0] ?? series;
    const sections = [
      `# What PullImage of containerd ${version} answers; the content is present on the node.`,
      '# Written by scripts/lab/capture-pull-errors.ts. Ports: 5001 htpasswd registry, 5002 anonymous registry,',
      '# 5003 token registry, 5004 its token server (or a failing one), 5005 failing registry, 5006 nobody.',
    ];
    for (const each of cases) {
      await each.prepare?.();
      const from = Date.now();
      const text = steady(await outcome(node, each), hosts);
      await each.restore?.();
      const took = Date.now() - from;
      if (took > 1_000) process.stderr.write(`${version}: ${each.name}: ${took} ms\n`);
      sections.push(`\n## ${each.name}`, text.replaceAll('\n', '\\n'));
    }
    await close();
    const file = `${sections.join('\n')}\n`;
    await writeFile(join(captures, `pull-errors-token-${version}.txt`), file);
    return file;
  } finally {
    await node.stop();
  }
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  for (const series of wanted.length === 0 ? containerdSeries : wanted.map(parseSeries)) {
    try {
      const text = await capturePullErrors(series);
      process.stdout.write(`containerd ${series}: ${text.split('\n## ').length - 1} cases\n`);
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      process.stderr.write(`containerd ${series}: ${error.message}\n`);
      if (!(error instanceof PackageUnavailable)) process.exitCode = 1;
    }
  }
}
