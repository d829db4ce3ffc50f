import type { Name } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { UnverifiableReason } from '../verdict.ts';

/** One question: does a registry grant this content, under this name, to this credential? */
export type Question = {
  readonly name: Name;
  /** The image id of the content in use: what the answer and the record are about. */
  readonly imageRef: string;
  /** Undefined asks anonymously. */
  readonly credential: PodCredential | undefined;
  readonly namespace: string;
  /** The pod's sandbox, where there is one: CRI-O chooses policies and credentials by it. */
  readonly podSandboxId: string | undefined;
  /** Containers that start now go before those that ran already. */
  readonly urgent: boolean;
  /** It was granted before: a token that is left from then must not answer for the registry. */
  readonly again?: boolean;
};

/** Who said what, for the log line of the verdict: free of credentials and of other tenants' names. */
export type Granted = {
  readonly answer: 'granted';
  /**
   * `credential`: it was good, or the registry asks nobody. `runtime`: nobody's credentials were offered, and
   * the registry itself does not grant that: a mirror that asks nobody, or credentials of the runtime's own.
   */
  readonly to: 'credential' | 'runtime';
  readonly message: string;
};

export type NotGranted =
  | { readonly answer: 'refused'; readonly message: string }
  | { readonly answer: 'unverifiable'; readonly reason: UnverifiableReason; readonly message: string };

export type Answer = Granted | NotGranted;

/** A way of asking. Never throws. Another way of asking a registry is another one of these. */
export type Ask = (question: Question) => Promise<Answer>;

/** The registry's host as the image's name has it: `docker.io`, `registry.example:5000`. */
export function registryOf({ repository }: Pick<Name, 'repository'>): string {
  return repository.slice(0, repository.indexOf('/'));
}

/** Equal for questions of which one answer serves both. */
export function questionKey({ name, imageRef, credential, namespace, again = false }: Question): string {
  // Without a credential of the pod the answer may be the runtime's own doing, and differ by namespace
  // (CRI-O).
  return JSON.stringify([
    imageRef,
    name.repository,
    name.digests,
    credential?.key ?? ['anonymous', namespace],
    again,
  ]);
}
