import type { Pace } from './pace.ts';

/** Standing as the sweep sees it; see records/standing.ts. */
export type StandingOfNamespaces = {
  namespaces(): readonly string[];
  /** All that a namespace has; returns how many. */
  forgetNamespace(namespace: string): number;
};

export type GoneNamespacesOptions = {
  readonly standing: StandingOfNamespaces;
  /** `unknown`: this agent cannot tell, or may not. */
  readonly isThere: (namespace: string) => Promise<boolean | 'unknown'>;
  readonly pace: Pace;
  readonly onForgotten: (namespace: string, count: number) => void;
};

/**
 * Looks once for every namespace that has standing, and forgets that of those which are gone: a namespace
 * that is made under the same name later is somebody else's.
 */
export async function forgetGoneNamespaces(options: GoneNamespacesOptions): Promise<void> {
  const { standing, pace } = options;
  for (const namespace of standing.namespaces()) {
    if (!(await pace.turn())) return;
    if ((await options.isThere(namespace)) !== false) continue;
    options.onForgotten(namespace, standing.forgetNamespace(namespace));
  }
}
