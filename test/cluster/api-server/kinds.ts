import { nodeNameOf } from './authorizer.ts';
import type { KubeObject } from './objects.ts';

const KINDS: ReadonlyMap<string, string> = new Map([
  ['pods', 'Pod'],
  ['secrets', 'Secret'],
  ['events', 'Event'],
  ['serviceaccounts', 'ServiceAccount'],
  ['namespaces', 'Namespace'],
]);

export function kindOf(resource: string): string | undefined {
  return KINDS.get(resource);
}

/** As a GET or a watch gives it; the items of a list carry neither kind nor version. */
export function withKind(resource: string, object: KubeObject): object {
  return { kind: kindOf(resource), apiVersion: 'v1', ...object };
}

/** Whether the object is among those that were asked for. */
export function isSelected(
  object: KubeObject,
  namespace: string | undefined,
  fieldSelector: ReadonlyMap<string, string>,
): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  return [...fieldSelector].every(([field, value]) => {
    if (field === 'spec.nodeName') return (nodeNameOf(object) ?? '') === value;
    if (field === 'metadata.name') return object.metadata.name === value;
    if (field === 'metadata.namespace') return object.metadata.namespace === value;
    return false;
  });
}
