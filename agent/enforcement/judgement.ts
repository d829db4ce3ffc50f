import type { Verdict } from '../access/verdict.ts';
import type { ContainerKind, PodContainer } from '../pods/pod-source.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { EnforcementAction, NotEnforced, StopOutcome, VetoOutcome } from './plan.ts';

/** All that is known when a container has been judged, and what was done about it. */
export type Judgement = {
  readonly container: RuntimeContainer;
  readonly preexisting: boolean;
  /** What the verdict is about: the container's image in its pod's spec, or an image volume's; none without a pod. */
  readonly spec: Pick<PodContainer, 'image' | 'imagePullPolicy'> | undefined;
  /** The content of just that. */
  readonly imageRef: string;
  /** Undefined for one of no known pod. */
  readonly kind: ContainerKind | undefined;
  readonly verdict: Verdict;
  /** From the container being seen to the verdict. */
  readonly durationMs: number;
};

export type Enforcement = {
  readonly action: EnforcementAction;
  readonly outcome: NotEnforced | StopOutcome | VetoOutcome;
};
