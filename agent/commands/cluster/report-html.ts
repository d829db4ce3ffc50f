import { printable } from '../../printable.ts';
import { formatAge } from '../age.ts';
import type { Finding, NamespaceCount, Report } from './findings.ts';
import { counted, headline } from './report-text.ts';

/** The report as one page with a chart, which needs nothing from anywhere and prints well. */
export function reportHtml(report: Report): string {
  const { findings, namespaces, silent, time } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pullwarden report</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Pullwarden report</h1>
<p class="lead">${escaped(headline(report))}</p>
<p class="muted">${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC</p>
${namespaces.length === 0 ? '' : chart(namespaces)}
${namespaces.map(({ namespace }) => section(namespace, findings, time)).join('\n')}
${silent.length === 0 ? '' : silentSection(silent)}
</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884;
  --bad: #b42318; --unsure: #a15c07; --unsure-bar: #eaaa08; --muted: #777; }
@media (prefers-color-scheme: dark) {
  :root { --bad: #f97066; --unsure: #fdb022; --unsure-bar: #dc9a04; --muted: #999; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 1040px; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
.lead { font-size: 1.1rem; margin: 0; } .muted { color: var(--muted); margin: .2rem 0 1.5rem; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .35rem .8rem; align-items: center; }
.bar { display: flex; height: 1.1rem; } .bar span { display: block; height: 100%; }
.bar .denied { background: var(--bad); } .bar .unverifiable { background: var(--unsure-bar); }
.key { color: var(--muted); font-size: .85rem; } .key b { font-weight: 600; }
.count { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--line); padding: .7rem 0; break-inside: avoid; }
article p { margin: .15rem 0; overflow-wrap: anywhere; }
.verdict { font-weight: 600; } .verdict.denied, .key .denied { color: var(--bad); }
.verdict.unverifiable, .key .unverifiable { color: var(--unsure); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
`;

function chart(namespaces: readonly NamespaceCount[]): string {
  const most = Math.max(...namespaces.map(({ denied, unverifiable }) => denied + unverifiable));
  const bar = (kind: string, count: number): string =>
    count === 0
      ? ''
      : `<span class="${kind}" style="width:${((100 * count) / most).toFixed(2)}%" title="${count} ${kind}"></span>`;
  const rows = namespaces.map(
    ({ namespace, denied, unverifiable }) =>
      `<span>${escaped(namespace)}</span>` +
      `<span class="bar">${bar('denied', denied)}${bar('unverifiable', unverifiable)}</span>` +
      `<span class="count">${denied + unverifiable}</span>`,
  );
  return `<h2>Containers by namespace</h2>
<p class="key"><b class="denied">denied</b>, <b class="unverifiable">unverifiable</b></p>
<div class="bars">${rows.join('\n')}</div>`;
}

function section(namespace: string, findings: readonly Finding[], now: number): string {
  const own = findings.filter((finding) => finding.namespace === namespace);
  return `<h2>${escaped(namespace)}</h2>\n${own.map((finding) => article(finding, now)).join('\n')}`;
}

function article(finding: Finding, now: number): string {
  const { verdict, enforced, image, reason, message, containers, nodes, pods, since, last, mend } = finding;
  const word = enforced || verdict !== 'denied' ? verdict : 'would be denied';
  const kind = verdict === 'denied' ? 'denied' : 'unverifiable';
  const more = containers > pods.length ? ', …' : '';
  const where = `${counted(containers, 'container')} on ${counted(nodes, 'node')} (${escaped(pods.join(', '))}${more})`;
  return `<article>
<p><span class="verdict ${kind}">${escaped(word)}</span> <code>${escaped(image)}</code></p>
<p>${escaped(reason)}: ${escaped(message)}</p>
<p><b>What to do:</b> ${escaped(mend)}</p>
<p class="key">${where}; first ${formatAge(now - since)} ago, last ${formatAge(now - last)} ago</p>
</article>`;
}

function silentSection(silent: Report['silent']): string {
  const lines = silent.map(
    ({ node, pod, problem }) =>
      `<article><p><code>${escaped(node)}</code> (${escaped(pod)}): ${escaped(problem)}</p></article>`,
  );
  return `<h2>Agents that did not answer</h2>\n${lines.join('\n')}`;
}

function escaped(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
