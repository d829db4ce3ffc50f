import { join } from 'node:path';
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { ClusterRole, ClusterRoleBinding, RoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, Namespace, ResourceQuota, Service, ServiceAccount } from 'kubernetes-models/v1';
import ts from 'typescript';
import { type KubernetesObject, repository } from './kustomize.ts';

type Schema = {
  /** Where the types of this kind come from; the name is the kind with an I before it. */
  readonly module: string;
  /**
   * Its constructor takes an object, its `validate` throws where the object is not as the OpenAPI schema
   * says.
   */
  readonly model: new (
    ...args: never[]
  ) => { validate(): void };
};

const core = 'kubernetes-models/v1';
const rbac = 'kubernetes-models/rbac.authorization.k8s.io/v1';
const operator = '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';

/** The kinds that the manifests use, by `apiVersion/kind`. */
const SCHEMAS: Readonly<Record<string, Schema>> = {
  'apps/v1/DaemonSet': { module: 'kubernetes-models/apps/v1', model: DaemonSet },
  'monitoring.coreos.com/v1/PodMonitor': { module: operator, model: PodMonitor },
  'monitoring.coreos.com/v1/PrometheusRule': { module: operator, model: PrometheusRule },
  'networking.k8s.io/v1/NetworkPolicy': {
    module: 'kubernetes-models/networking.k8s.io/v1',
    model: NetworkPolicy,
  },
  'rbac.authorization.k8s.io/v1/ClusterRole': { module: rbac, model: ClusterRole },
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': { module: rbac, model: ClusterRoleBinding },
  'rbac.authorization.k8s.io/v1/RoleBinding': { module: rbac, model: RoleBinding },
  'v1/ConfigMap': { module: core, model: ConfigMap },
  'v1/Namespace': { module: core, model: Namespace },
  'v1/ResourceQuota': { module: core, model: ResourceQuota },
  'v1/Service': { module: core, model: Service },
  'v1/ServiceAccount': { module: core, model: ServiceAccount },
};

/**
 * What a Kubernetes API server with strict field validation would say against these objects. Formats,
 * enumerations and required fields are the API's own JSON schemas'; those let unknown fields pass, so the
 * types made from the same schemas are asked for them, by the compiler's check for excess properties.
 */
export function schemaProblems(objects: readonly KubernetesObject[]): string[] {
  const unknown = objects.filter((object) => SCHEMAS[keyOf(object)] === undefined);
  const known = objects.filter((object) => !unknown.includes(object));
  return [
    ...unknown.map((object) => `${nameOf(object)}: no schema`),
    ...known.flatMap(jsonSchemaProblems),
    ...typeProblems(known),
  ];
}

function jsonSchemaProblems(object: KubernetesObject): string[] {
  const schema = SCHEMAS[keyOf(object)];
  if (!schema) return [];
  const model: { validate(): void } = Reflect.construct(schema.model, [object]);
  try {
    model.validate();
    return [];
  } catch (error) {
    return [`${nameOf(object)}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function typeProblems(objects: readonly KubernetesObject[]): string[] {
  // Never written: it only has to stand where its imports are found.
  const path = join(repository, 'test/manifests/objects.ts');
  const source = objects.map(declarationOf).join('\n');
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2024,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (name) => name === path || fileExists(name);
  host.readFile = (name) => (name === path ? source : readFile(name));
  host.getSourceFile = (name, version) =>
    name === path ? ts.createSourceFile(name, source, version) : getSourceFile(name, version);
  const program = ts.createProgram([path], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0 }) => {
    const object = objects[source.slice(0, start).split('\n').length - 1];
    return `${object ? nameOf(object) : path}: ${ts.flattenDiagnosticMessageText(messageText, '; ')}`;
  });
}

/** One line for each object, so that the line of a diagnostic says which it is. */
function declarationOf(object: KubernetesObject, index: number): string {
  const type = `import(${JSON.stringify(SCHEMAS[keyOf(object)]?.module)}).I${object.kind}`;
  return `export const object${index}: ${type} = ${JSON.stringify(object)};`;
}

function keyOf({ apiVersion, kind }: KubernetesObject): string {
  return `${apiVersion}/${kind}`;
}

function nameOf({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata?.name}`;
}
