import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

export type CriService = 'RuntimeService' | 'ImageService';

/** Requests and responses as protobufjs builds them; responses are checked against a schema before use. */
export type CriMethod = MethodDefinition<object, object>;

const OPTIONS = { longs: String, enums: String, defaults: true } as const;
const cri = loadSync(protoFile('cri.proto'), OPTIONS);
const containerdContent = loadSync(protoFile('containerd-content.proto'), OPTIONS);
const containerdEvents = loadSync(protoFile('containerd-events.proto'), OPTIONS);

/** A service of package runtime.v1, with the methods that proto/cri.proto holds. */
export function criService(name: CriService): ServiceDefinition {
  return serviceIn(cri, `runtime.v1.${name}`);
}

export function criMethod(service: CriService, name: string): CriMethod {
  return methodIn(criService(service), name);
}

/** containerd's own services (api/services); CRI has nothing like them. All of these stream. */
const content = serviceIn(containerdContent, 'containerd.services.content.v1.Content');
export const listContentMethod: CriMethod = methodIn(content, 'List');
export const readContentMethod: CriMethod = methodIn(content, 'Read');
const events = serviceIn(containerdEvents, 'containerd.services.events.v1.Events');
export const subscribeMethod: CriMethod = methodIn(events, 'Subscribe');

function serviceIn(definitions: PackageDefinition, name: string): ServiceDefinition {
  const definition = definitions[name];
  if (definition === undefined || 'format' in definition)
    throw new TypeError(`proto/ has no service ${name}`);
  // The other kinds of definition all carry `format`, but the type of a service is an open index and cannot
  // say so.
  return definition as ServiceDefinition;
}

function methodIn(service: ServiceDefinition, name: string): CriMethod {
  const method = service[name];
  if (method === undefined) throw new TypeError(`proto/ has no method ${name}`);
  return method;
}

/** proto/ stands beside agent/ in the sources and beside dist/ where the agent was built. */
function protoFile(name: string): string {
  const places = ['../../proto/', '../../../proto/'].map((folder) =>
    fileURLToPath(new URL(`${folder}${name}`, import.meta.url)),
  );
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`${name} is neither at ${places.join(' nor at ')}`);
  return found;
}
