import type { KubeObject, ObjectStore } from './objects.ts';

/** What is asked for, in the words of an authorizer. */
export type Attributes = {
  readonly user: string;
  readonly verb:
    | 'get'
    | 'list'
    | 'watch'
    | 'create'
    | 'update'
    | 'patch'
    | 'delete'
    | 'request-serviceaccounts-token-audience';
  /** With a subresource as in `serviceaccounts/token`; of the audience verb, the audience. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly fieldSelector: ReadonlyMap<string, string>;
};

/** As a Role's or ClusterRole's rule with its binding. */
export type Grant = {
  readonly verbs: readonly Attributes['verb'][];
  readonly resources: readonly string[];
  /** Role bindings in these namespaces; without it, in the whole cluster. */
  readonly namespaces?: readonly string[];
};

export type Authorizer = {
  /** Undefined where it is allowed; otherwise the text after `is forbidden: `. */
  refusal(attributes: Attributes): string | undefined;
  grant(user: string, grant: Grant): void;
  /** Takes back all that was granted to this user. */
  revoke(user: string): void;
};

const NODE_USER = /^system:node:(.+)$/;
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/**
 * The Node authorizer (plugin/pkg/auth/authorizer/node, as of 1.34: field selectors count) for
 * `system:node:NAME`, and role bindings for everyone else.
 *
 * @param lagMs after how long a new pod counts for the Node authorizer
 */
export function createAuthorizer(store: ObjectStore, lagMs: () => number): Authorizer {
  const grants = new Map<string, Grant[]>();
  const boundAt = new Map<string, number>();
  store.onChange(({ resource, after }) => {
    if (resource !== 'pods' || !after || nodeNameOf(after) === undefined) return;
    const uid = String(after.metadata.uid);
    if (!boundAt.has(uid)) boundAt.set(uid, performance.now());
  });

  function podsOf(node: string): KubeObject[] {
    const known = (store.list('pods') ?? []).filter((pod) => nodeNameOf(pod) === node);
    return known.filter((pod) => performance.now() - (boundAt.get(String(pod.metadata.uid)) ?? 0) >= lagMs());
  }

  function isRelated(node: string, { resource, namespace, name }: Attributes): boolean {
    return podsOf(node).some((pod) => {
      if (pod.metadata.namespace !== namespace) return false;
      if (resource === 'pods') return pod.metadata.name === name;
      // A mirror pod can be written by the node itself, so it opens nothing.
      if (isMirror(pod)) return false;
      return name !== undefined && namesIn(pod, resource).includes(name);
    });
  }

  /** `allowed`, or the reason of the Node authorizer. */
  function nodeDecision(node: string, attributes: Attributes): string {
    const { verb, resource, fieldSelector } = attributes;
    if (resource === 'events') return ['create', 'update', 'patch'].includes(verb) ? 'allowed' : '';
    if (resource === 'pods' && (verb === 'list' || verb === 'watch')) {
      const own = fieldSelector.get('spec.nodeName') === node;
      return own ? 'allowed' : 'can only list/watch pods with spec.nodeName field selector';
    }
    if (resource === 'serviceaccounts/token' && verb === 'create') {
      const related = isRelated(node, { ...attributes, resource: 'serviceaccounts' });
      return related ? 'allowed' : `no relationship found between node '${node}' and this object`;
    }
    if (!['pods', 'secrets', 'configmaps', 'serviceaccounts'].includes(resource)) return '';
    if (attributes.name === undefined) return 'No Object name found';
    if (verb !== 'get') return `can only read resources of this type`;
    if (isRelated(node, attributes)) return 'allowed';
    return `no relationship found between node '${node}' and this object`;
  }

  function isGranted({ user, verb, resource, namespace }: Attributes): boolean {
    return (grants.get(user) ?? []).some(
      ({ verbs, resources, namespaces }) =>
        verbs.includes(verb) &&
        resources.includes(resource) &&
        (namespaces === undefined || (namespace !== undefined && namespaces.includes(namespace))),
    );
  }

  return {
    refusal(attributes) {
      const { user, verb, resource, namespace } = attributes;
      const node = nodeOf(user);
      const decision = node === undefined ? '' : nodeDecision(node, attributes);
      if (decision === 'allowed' || isGranted(attributes)) return undefined;
      const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
      const text = `User "${user}" cannot ${verb} resource "${resource}" in API group "" ${scope}`;
      return decision === '' ? text : `${text}: ${decision}`;
    },
    grant(user, grant) {
      grants.set(user, [...(grants.get(user) ?? []), grant]);
    },
    revoke: (user) => void grants.delete(user),
  };
}

/** The node whose own identity this is. */
export function nodeOf(user: string): string | undefined {
  return NODE_USER.exec(user)?.[1];
}

export function nodeNameOf(pod: KubeObject): string | undefined {
  const { spec } = pod;
  if (typeof spec !== 'object' || spec === null || !('nodeName' in spec)) return undefined;
  return typeof spec.nodeName === 'string' && spec.nodeName !== '' ? spec.nodeName : undefined;
}

function isMirror({ metadata: { annotations } }: KubeObject): boolean {
  return typeof annotations === 'object' && annotations !== null && MIRROR_ANNOTATION in annotations;
}

/** The pull secrets, mounted secrets and the ServiceAccount that a pod's spec names. */
function namesIn({ spec }: KubeObject, resource: string): string[] {
  if (typeof spec !== 'object' || spec === null) return [];
  if (resource === 'serviceaccounts') {
    return 'serviceAccountName' in spec ? [String(spec.serviceAccountName)] : [];
  }
  if (resource !== 'secrets') return [];
  const pull =
    'imagePullSecrets' in spec && Array.isArray(spec.imagePullSecrets) ? spec.imagePullSecrets : [];
  const volumes = 'volumes' in spec && Array.isArray(spec.volumes) ? spec.volumes : [];
  return [
    ...pull.map((reference: { name?: unknown }) => String(reference.name)),
    ...volumes.map((volume: { secret?: { secretName?: unknown } }) => String(volume.secret?.secretName)),
  ];
}
