import type { status as grpc } from '@grpc/grpc-js';
import { type CallState, classifyPullError } from '../../agent/runtime/classify-pull-error.ts';
import type { FailedPull } from '../../agent/runtime/runtime.ts';

/** gRPC's Unknown, with which the runtimes answer nearly always. */
const UNKNOWN = 2;

export type Circumstances = {
  readonly code?: grpc;
  /** What was pulled; its registry is itself alone, without a mirror or another address. */
  readonly image?: string;
  readonly secrets?: readonly string[];
  readonly call?: CallState;
};

export function classify(message: string, circumstances: Circumstances = {}): FailedPull {
  const { code = UNKNOWN, image = 'r.example/a/b:1', secrets = [], call = 'open' } = circumstances;
  const registry = image.slice(0, image.indexOf('/'));
  return classifyPullError(
    { code, message, secrets, call },
    (host) => host === registry || (registry === 'docker.io' && host === 'registry-1.docker.io'),
  );
}

/** `outcome speaker`. */
export function wordOf(message: string, circumstances: Circumstances = {}): string {
  const { outcome, speaker } = classify(message, circumstances);
  return `${outcome} ${speaker}`;
}

/** What the runtimes write before what went wrong. */
export const containerd =
  'failed to pull and unpack image "r.example/a/b:1": failed to resolve reference "r.example/a/b:1": ';
export const crio = 'initializing source docker://r.example/a/b:1: reading manifest 1 in r.example/a/b: ';
export const docker = 'Error response from daemon: ';
