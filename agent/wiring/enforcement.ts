import type { Reverify } from '../access/renewal/reverify.ts';
import type { Config } from '../config/resolve.ts';
import { createCensus } from '../enforcement/census.ts';
import { type FuseState, type KeptFuse, keepFuse } from '../enforcement/fuse-keeper.ts';
import { createEnforcer } from '../enforcement/guard/enforcer.ts';
import { createGuard, type Guard } from '../enforcement/guard/guard.ts';
import { createStopper, type Stopper } from '../enforcement/guard/stopper.ts';
import { createHandover } from '../enforcement/handover.ts';
import type { DoubtOf, EnsureAccess } from '../enforcement/judge-images.ts';
import type { Report } from '../enforcement/judgement.ts';
import type { ConfigSourceOf } from '../enforcement/owner.ts';
import type { EnforcementSettings } from '../enforcement/plan.ts';
import { createVeto, type Veto } from '../enforcement/veto/create-container.ts';
import { createTimeBudget } from '../enforcement/veto/time-budget.ts';
import type { PodSource } from '../pods/pod-source.ts';
import type { ImageNames, Runtime } from '../runtime/runtime.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { FUSE_MESSAGES, type FuseChange } from './fuse-event.ts';
import { createSignal } from './signal.ts';

export type EnforcementParts = {
  readonly pods: PodSource;
  readonly runtime: Runtime;
  /** What names mean to the runtime, kept for the veto, for which each creation waits. */
  readonly imageNames: ImageNames;
  readonly ensureAccess: EnsureAccess;
  readonly reverify: Reverify;
  readonly doubtOf: DoubtOf;
  readonly fuseState: FuseState;
  readonly report: Report;
  /** The fuse opened or closed. */
  readonly onFuse: (change: FuseChange) => void;
  readonly log: Log;
  readonly metrics: Metrics;
};

export type Enforcement = {
  readonly settings: EnforcementSettings;
  readonly fuse: KeptFuse;
  readonly stopper: Stopper;
  readonly guard: Guard;
  readonly veto: Veto;
};

const EXISTING_CONTAINERS_AT_ONCE = 2;
/** How long a new container runs unverified where it would be stopped for not being verifiable. */
const PATIENCE_MS = 10_000;

/** Puts guard and veto together over one fuse. */
export function wireEnforcement(config: Config, parts: EnforcementParts): Enforcement {
  const { pods, runtime, imageNames, ensureAccess, doubtOf, report, log, metrics } = parts;
  const settings: EnforcementSettings = {
    mode: config.mode,
    onUnverifiable: config.onUnverifiable,
    unmanaged: config.unmanaged,
    enforceNamespaces: config.enforceNamespaces,
    exemptNamespaces: config.exemptNamespaces,
    revokeRunning: config.revokeRunning,
    ownPodUid: config.podUid ?? '',
  };
  const stopper = createStopper({
    runtime,
    onLaterOutcome: (containerId, outcome, { containerName: container, pod: { namespace, name: pod } }) => {
      metrics.enforcement('stop', outcome);
      log.warn({ namespace, pod, container, containerId, action: 'stop', outcome }, 'enforcement');
    },
  });
  const fuseClosed = createSignal<void>();
  const fuse = keepFuse(
    {
      count: config.fuseCount,
      share: config.fuseShare,
      namespaces: config.fuseNamespaces,
      windowMs: config.fuseWindow,
    },
    {
      state: parts.fuseState,
      onOpen() {
        log.error({ fuse: 'open' }, FUSE_MESSAGES.open);
        parts.onFuse('open');
      },
      onClose() {
        log.warn({ fuse: 'closed' }, FUSE_MESSAGES.closed);
        parts.onFuse('closed');
        fuseClosed.emit();
      },
    },
  );
  const handover = createHandover();
  const census = createCensus(doubtOf);
  const configSourceOf: ConfigSourceOf = async (podSandboxId) => {
    const source = (await runtime.sandbox(podSandboxId))?.configSource;
    return source === 'api' || source === 'file' || source === 'http' ? source : undefined;
  };
  const judging = { pods, configSourceOf, runtime, ensureAccess, doubtOf };
  const guard = createGuard({
    ...judging,
    reverify: async (request) => {
      const { pod, container, imageRef } = request;
      const doubt = doubtOf({ namespace: pod.namespace, imageRef, image: container.image });
      return { verdict: await parts.reverify(request), doubt };
    },
    handover,
    census,
    enforce: createEnforcer({ settings, fuse, stopper, census }),
    report,
    existing: { delayMs: config.existingContainersDelay, atOnce: EXISTING_CONTAINERS_AT_ONCE },
    patienceMs: config.mode === 'enforce' ? PATIENCE_MS : undefined,
  });
  fuseClosed.on(guard.fuseClosed);
  const veto = createVeto({
    ...judging,
    imageNames,
    settings,
    fuse,
    census,
    handover,
    budget: createTimeBudget(() => performance.now()),
    report,
    onRefusedAgain: metrics.refusedAgain,
    onInProgress: () => metrics.enforcement('veto', 'inProgress'),
  });
  return { settings, fuse, stopper, guard, veto };
}
