import { readFileSync } from 'node:fs';
import type { KubeObject } from '../../cluster/api-server/objects.ts';

type Wanted = {
  readonly namespace?: string;
  readonly uid?: string;
  readonly image?: string;
  readonly secrets?: readonly string[];
  readonly nodeName?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Names of ephemeral containers. */
  readonly ephemeral?: readonly string[];
};

/** A pod with the container `app`, as the API server is given it. */
export function podObject(name: string, wanted: Wanted = {}): KubeObject {
  const { namespace = 'team-a', uid, image = 'reg.example.com/app:1', secrets = [], nodeName } = wanted;
  const container = (containerName: string) => ({
    name: containerName,
    image,
    imagePullPolicy: 'IfNotPresent',
  });
  return {
    metadata: {
      name,
      namespace,
      ...(uid !== undefined && { uid }),
      ...(wanted.annotations && { annotations: wanted.annotations }),
    },
    spec: {
      containers: [container('app')],
      ...(wanted.ephemeral && { ephemeralContainers: wanted.ephemeral.map(container) }),
      ...(nodeName !== undefined && { nodeName }),
      serviceAccountName: 'default',
      imagePullSecrets: secrets.map((secret) => ({ name: secret })),
    },
    status: { phase: 'Pending' },
  };
}

/** A pull secret for reg.example.com. */
export function secretObject(name: string, password: string, namespace = 'team-a'): KubeObject {
  const config = { auths: { 'reg.example.com': { username: name, password } } };
  return {
    metadata: { name, namespace },
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify(config)).toString('base64') },
    type: 'kubernetes.io/dockerconfigjson',
  };
}

/** A file of test/captures/apiserver. */
export function recorded(name: string): Buffer {
  return readFileSync(new URL(`../../captures/apiserver/${name}`, import.meta.url));
}

/** The bytes in pieces of so many, the last one shorter. */
export function inPieces(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}
