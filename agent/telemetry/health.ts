import { printable } from '../printable.ts';

/** One part of the agent that may not be ready. */
export type ReadinessCheck = {
  readonly name: string;
  /** Why it is not ready; undefined when it is. */
  readonly problem: () => string | undefined;
};

export type Readiness = { readonly ready: boolean; readonly text: string };

/**
 * The answer to /readyz: `ok`, or one line per part that is not ready. `verbose` lists all parts, in the form
 * of the Kubernetes API server's health endpoints.
 */
export function readiness(checks: readonly ReadinessCheck[], verbose: boolean): Readiness {
  const results = checks.map((check) => ({ name: check.name, problem: problemOf(check) }));
  const ready = results.every(({ problem }) => problem === undefined);
  if (verbose) {
    const lines = results.map(({ name, problem }) =>
      problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`,
    );
    return { ready, text: [...lines, `readyz check ${ready ? 'passed' : 'failed'}`, ''].join('\n') };
  }
  const failures = results.filter(({ problem }) => problem !== undefined);
  return {
    ready,
    text: ready ? 'ok\n' : failures.map(({ name, problem }) => `${name}: ${problem}\n`).join(''),
  };
}

function problemOf(check: ReadinessCheck): string | undefined {
  try {
    const problem = check.problem();
    return problem === undefined ? undefined : printable(problem);
  } catch (error) {
    return `unknown: ${printable(error instanceof Error ? error.message : String(error))}`;
  }
}
