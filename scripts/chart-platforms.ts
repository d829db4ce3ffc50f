import { type Document, isMap, isSeq } from 'yaml';

/** Clouds whose kubelet logs in with a credential provider plugin, and what each adds to the agent. */

/** The overlays of these names. */
const PLATFORMS = ['eks', 'gke', 'aks'] as const;

export type Platform = (typeof PLATFORMS)[number];

/** A block of a template that is there on one cloud only, for each of them. */
export function byPlatform(textFor: (name: Platform) => string): string {
  return PLATFORMS.map(
    (name) => `{{- if eq .Values.platform "${name}" }}\n${textFor(name)}{{- end }}\n`,
  ).join('');
}

/** What the kustomization of an overlay sets, as lines of the options' map. */
export function optionsOfKustomization(kustomization: Document): string {
  const generators = kustomization.get('configMapGenerator');
  const first = isSeq(generators) ? generators.items[0] : undefined;
  const literals = isMap(first) ? first.get('literals') : undefined;
  if (!isSeq(literals)) throw new TypeError('the overlay sets no options');
  return literals.items.map((item) => `  ${String(item).replace('=', ': ')}\n`).join('');
}

/** The mounts of the agent's container, or the pod's volumes, that a patch of the DaemonSet adds. */
export function addedBy(patch: Document, what: 'mounts' | 'volumes'): unknown[] {
  const path = what === 'mounts' ? ['containers', 0, 'volumeMounts'] : ['volumes'];
  const found = patch.getIn(['spec', 'template', 'spec', ...path]);
  if (!isSeq(found)) throw new TypeError(`the patch adds no ${what}`);
  const added: unknown = found.toJSON();
  return Array.isArray(added) ? added : [];
}
