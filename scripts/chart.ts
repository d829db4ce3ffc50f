import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Document,
  isMap,
  isSeq,
  parseAllDocuments,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { addedBy, byPlatform, optionsOfKustomization } from './chart-platforms.ts';

/**
 * `node scripts/chart.ts` writes the templates of manifests/chart from the manifests that kustomize uses, so
 * that there is one source. With `--check` it writes nothing and ends with 1 when one is stale. The templates
 * use Go's own text/template and none of the functions that Helm adds, so that a test can render them with
 * kubectl.
 */
const manifests = fileURLToPath(new URL('../manifests/', import.meta.url));
const templates = join(manifests, 'chart/templates');

const NOTE = '{{- /* Written by scripts/chart.ts. Change what it reads, or values.yaml. */ -}}\n';
const NODE_IDENTITY = 'eq .Values.identity "node"';
const SERVICE_ACCOUNT = 'eq .Values.identity "serviceAccount"';
const IMAGE =
  '{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ ' +
  'or .Values.image.tag .Chart.AppVersion }}{{ end }}';
const RUNTIME_DIRECTORY =
  '{{ if eq .Values.runtime "crio" }}/run/crio{{ else if eq .Values.runtime "k3s" ' +
  '}}/run/k3s/containerd{{ else if eq .Values.runtime "k0s" }}/run/k0s{{ else if eq .Values.runtime ' +
  '"microk8s" }}/var/snap/microk8s/common/run{{ else }}/run/containerd{{ end }}';
/** Go prints maps in the order of their keys; a change of an option makes the agents roll over. */
const OPTIONS_IN_USE = '{{ printf "%q" (printf "%s %s %v" .Values.mode .Values.platform .Values.options) }}';

const written = new Map<string, string>([
  ['namespace.yaml', when('.Values.createNamespace', plain('agent/namespace.yaml'))],
  ['resource-quota.yaml', plain('agent/resource-quota.yaml')],
  ['service-account.yaml', plain('agent/service-account.yaml')],
  ['network-policy.yaml', plain('agent/network-policy.yaml')],
  ['options.yaml', optionsMap()],
  ['daemonset.yaml', daemonSet()],
  ['rbac.yaml', when(SERVICE_ACCOUNT, rbac())],
]);

const check = process.argv.includes('--check');
if (!check) mkdirSync(templates, { recursive: true });
for (const [name, text] of written) {
  const path = join(templates, name);
  if (!check) writeFileSync(path, NOTE + text);
  else if (readFileSync(path, 'utf8') !== NOTE + text) stale(name);
}
for (const name of readdirSync(templates)) if (!written.has(name)) stale(name);

function stale(name: string): void {
  process.stderr.write(`manifests/chart/templates/${name} is stale: run \`node scripts/chart.ts\`\n`);
  process.exitCode = 1;
}

function plain(path: string): string {
  return textOf(labelled(parseDocument(source(path))));
}

function optionsMap(): string {
  return `apiVersion: v1
kind: ConfigMap
metadata:
  name: pullwarden-options
  labels:
    app.kubernetes.io/part-of: pullwarden
data:
  PULLWARDEN_MODE: {{ .Values.mode }}
{{- if ${NODE_IDENTITY} }}
  PULLWARDEN_KUBECONFIG: /etc/kubernetes/kubelet.conf
{{- end }}
{{- $address := or (and .Values.platform "127.0.0.1:9468") ":9468" }}
  PULLWARDEN_LISTEN_ADDRESS: {{ printf "%q" (or (index .Values.options "PULLWARDEN_LISTEN_ADDRESS") $address) }}
${byPlatform((name) => optionsOfKustomization(parseDocument(source(`overlays/${name}/kustomization.yaml`))))}\
{{- range $name, $value := .Values.options }}
{{- if ne $name "PULLWARDEN_LISTEN_ADDRESS" }}
  {{ $name }}: {{ printf "%q" $value }}
{{- end }}
{{- end }}
`;
}

function daemonSet(): string {
  const document = labelled(parseDocument(source('agent/daemonset.yaml')));
  const pod = mapAt(document, 'spec', 'template', 'spec');
  document.setIn(['spec', 'template', 'metadata', 'annotations', 'pullwarden/options'], '__OPTIONS__');
  pod.set('automountServiceAccountToken', '__TOKEN__');
  pod.setIn(['securityContext', 'seLinuxOptions'], '__SELINUX__');
  pod.set('hostNetwork', '__HOST_NETWORK__');
  const credentials = parseDocument(source('components/node-identity/kubelet-credentials.yaml'));
  const options = mapAt(parseDocument(source('agent/options.yaml')), 'spec', 'template', 'spec');
  for (const container of [...itemsOf(pod, 'initContainers'), ...itemsOf(pod, 'containers')]) {
    seqAt(container, 'env').items.unshift(...optionsOf(options, container.get('name')));
    container.set('image', '__IMAGE__');
    container.set('imagePullPolicy', '{{ .Values.image.pullPolicy }}');
    for (const mount of itemsOf(container, 'volumeMounts')) {
      if (mount.get('name') === 'runtime') mount.set('mountPath', '__RUNTIME__');
    }
    seqAt(container, 'volumeMounts').items.unshift(document.createNode('__ADDED_MOUNTS__'));
    container.setIn(['resources', 'limits', 'memory'], '__MEMORY__');
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      if (container.has(probe)) container.setIn([probe, 'httpGet', 'host'], '__PROBE_HOST__');
    }
  }
  for (const volume of itemsOf(pod, 'volumes')) {
    if (volume.get('name') === 'runtime') volume.setIn(['hostPath', 'path'], '__RUNTIME__');
  }
  seqAt(pod, 'volumes').items.unshift(document.createNode('__ADDED_VOLUMES__'));
  const plugins = parseDocument(source('components/node-credentials/plugins.yaml'));
  const added = (what: 'mounts' | 'volumes', indent: string): string =>
    block(`if ${NODE_IDENTITY}`, indented(addedBy(credentials, what), indent)) +
    block('if .Values.platform', indented(addedBy(plugins, what), indent)) +
    byPlatform((name) =>
      indented(addedBy(parseDocument(source(`overlays/${name}/providers.yaml`)), what), indent),
    );
  return textOf(document)
    .replaceAll('__IMAGE__', IMAGE)
    .replaceAll('__RUNTIME__', RUNTIME_DIRECTORY)
    .replaceAll('__OPTIONS__', OPTIONS_IN_USE)
    .replaceAll('"{{ .Values.image.pullPolicy }}"', '{{ .Values.image.pullPolicy }}')
    .replaceAll('__TOKEN__', `{{ ${SERVICE_ACCOUNT} }}`)
    .replace(/^( *)seLinuxOptions: __SELINUX__\n/m, (_, indent: string) =>
      block('if .Values.selinux', `${indent}seLinuxOptions:\n${indent}  type: spc_t\n`),
    )
    .replace(/^ *hostNetwork: .*\n/m, block('if .Values.platform', '      hostNetwork: true\n'))
    .replaceAll('__MEMORY__', '{{ if .Values.platform }}512Mi{{ else }}256Mi{{ end }}')
    .replaceAll(/^( *)host: __PROBE_HOST__\n/gm, (_, indent: string) =>
      block('if .Values.platform', `${indent}host: 127.0.0.1\n`),
    )
    .replaceAll(/^( *)- __ADDED_(MOUNTS|VOLUMES)__\n/gm, (_, indent: string, what: string) =>
      added(what === 'MOUNTS' ? 'mounts' : 'volumes', indent),
    );
}

/** The variables that kustomize's patch adds to this container: each option by its name. */
function optionsOf(patch: YAMLMap, name: unknown): readonly unknown[] {
  const containers = [...itemsOf(patch, 'initContainers'), ...itemsOf(patch, 'containers')];
  const found = containers.find((container) => container.get('name') === name);
  if (found === undefined) throw new TypeError(`agent/options.yaml has no container ${name}`);
  return seqAt(found, 'env').items;
}

function rbac(): string {
  const roles = parseAllDocuments(source('components/service-account/rbac.yaml'));
  const texts = roles.map((document) => textOf(inRelease(labelled(document))));
  const everywhere = textOf(inRelease(parseDocument(source('overlays/service-account/all-namespaces.yaml'))));
  const [first] = parseAllDocuments(source('overlays/service-account-namespaced/namespaces.yaml'));
  if (first === undefined) throw new TypeError('no binding in a namespace');
  first.setIn(['metadata', 'namespace'], '__NAMESPACE__');
  first.commentBefore = null;
  const named = textOf(inRelease(first)).replaceAll('__NAMESPACE__', '{{ . }}');
  const all = block('if not .Values.secretNamespaces', `---\n${everywhere}`);
  // Inside of range the dot is the namespace.
  const some = `{{- range .Values.secretNamespaces }}\n---\n${named.replaceAll('.Release', '$.Release')}{{- end }}\n`;
  return `${texts.join('---\n')}${all}${some}`;
}

function source(path: string): string {
  return readFileSync(join(manifests, path), 'utf8');
}

function labelled<Of extends Document>(document: Of): Of {
  document.setIn(['metadata', 'labels', 'app.kubernetes.io/part-of'], 'pullwarden');
  return document;
}

/** Helm puts objects into the release's namespace itself; where they name it, it has to be written. */
function inRelease<Of extends Document>(document: Of): Of {
  if (document.hasIn(['subjects', 0])) document.setIn(['subjects', 0, 'namespace'], '__RELEASE__');
  return document;
}

function textOf(document: Document): string {
  return document
    .toString({ lineWidth: 0, flowCollectionPadding: false })
    .replace(/^---\n/, '')
    .replaceAll('__RELEASE__', '{{ .Release.Namespace }}');
}

function when(condition: string, text: string): string {
  return `{{- if ${condition} }}\n${text}{{- end }}\n`;
}

/** Lines that are there only in a case, between others. */
function block(opening: string, lines: string): string {
  return `{{- ${opening} }}\n${lines}{{- end }}\n`;
}

function indented(items: unknown, indent: string): string {
  return stringify(items, { lineWidth: 0 }).replaceAll(/^(?=.)/gm, indent);
}

function mapAt(document: Document, ...path: readonly string[]): YAMLMap {
  const node = document.getIn(path);
  if (!isMap(node)) throw new TypeError(`${path.join('.')} is no map`);
  return node;
}

function seqAt(map: YAMLMap, key: string): YAMLSeq {
  const node = map.get(key);
  if (!isSeq(node)) throw new TypeError(`${key} is no list`);
  return node;
}

function itemsOf(map: YAMLMap, key: string): YAMLMap[] {
  return seqAt(map, key).items.filter((item) => isMap(item));
}
