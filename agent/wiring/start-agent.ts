import { setTimeout as sleep } from 'node:timers/promises';
import { createPodCredentialsReader } from '../access/pod-credentials.ts';
import { createRepuller } from '../access/proof/repull.ts';
import { makePolicy } from '../access/record/policy.ts';
import { createVerifier } from '../access/verifier.ts';
import type { Config } from '../config/resolve.ts';
import { createCensus } from '../enforcement/census.ts';
import type { ContentOf } from '../enforcement/content.ts';
import { keepFuse } from '../enforcement/fuse-keeper.ts';
import { createEnforcer } from '../enforcement/guard/enforcer.ts';
import { createGuard } from '../enforcement/guard/guard.ts';
import { createStopper } from '../enforcement/guard/stopper.ts';
import { createHandover } from '../enforcement/handover.ts';
import type { DoubtOf } from '../enforcement/judge-images.ts';
import type { ConfigSourceOf } from '../enforcement/owner.ts';
import type { EnforcementSettings } from '../enforcement/plan.ts';
import { createVeto } from '../enforcement/veto/create-container.ts';
import { RecordStoreError, RuntimeError } from '../errors.ts';
import { createEvents } from '../kubernetes/events.ts';
import { openDecisions } from '../records/decisions.ts';
import { createHousekeeping } from '../records/housekeeping.ts';
import { openRecordStore } from '../records/sqlite/open.ts';
import { createRetryDelay } from '../retry-delay.ts';
import { type ContainerWatch, watchContainers } from '../runtime/container-watch.ts';
import { createCriClient } from '../runtime/cri-client.ts';
import { findRuntimeSocket } from '../runtime/endpoint.ts';
import type { ReadinessCheck } from '../telemetry/health.ts';
import { serveTelemetry } from '../telemetry/http.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { packageVersion } from '../version.ts';
import { connectNri } from './connect-veto.ts';
import { openPodSource } from './open-pod-source.ts';
import { createReporter } from './reporter.ts';

/** How often images that left the node are forgotten; kubelet's image garbage collection runs as often. */
const PRUNE_INTERVAL_MS = 300_000;
const EXISTING_CONTAINERS_AT_ONCE = 2;
/** How long a new container runs unverified where it would be stopped for not being verifiable. */
const PATIENCE_MS = 10_000;
/** Verdicts under way get this long; kubelet kills after 30 s. */
const STOP_GRACE_MS = 5_000;
/** For Events that are still to be sent. */
const EVENTS_GRACE_MS = 2_000;

export type Agent = {
  /** Ends everything in order: no new verdicts, those under way are finished, then the databases are closed. */
  stop(): Promise<void>;
};

/**
 * Puts a running agent together from its parts, in the order in which they depend on each other.
 *
 * @throws ConfigError, EndpointError, PodSourceError, ListenError, RecordStoreError for what can never work; a runtime
 * that is away, a full disk or a damaged database do not end the agent but show on /readyz
 */
export async function startAgent(config: Config, log: Log): Promise<Agent> {
  const stopping = new AbortController();
  const podSource = openPodSource(config, {
    onProblem: (problem) => log.warn(problem),
    onSynced: (count) => log.info({ pods: count }, 'pods are watched'),
  });
  const { pods } = podSource;
  const socketPath = findRuntimeSocket(config.runtimeEndpoint);

  let watch: ContainerWatch | undefined;
  let begun = false;
  let listFailure: RuntimeError['reason'] | undefined;

  // First of all, because everything else may report to it while it is being opened; what it observes it asks later.
  const metrics = createMetrics({
    build: {
      version: packageVersion(),
      revision: config.revision ?? 'unknown',
      nodeVersion: process.version,
    },
    observed: {
      pulledRecords: () => store.listPulledRecords().length,
      pullIntents: () => store.listPullIntents().length,
      runtimeConnected: () => client.connected(),
      runtimeEventsSupported: () => watch?.health().eventsSupported ?? false,
      podsSourceReady: () => pods.problem() === undefined,
      nriConnected: () => nri?.connected() ?? false,
      fuseOpen: () => fuse.isOpen(),
      pendingVerdicts: () => guard.pending(),
      lastList: () => (watch?.health().lastListAt ?? 0) / 1_000,
      events: () => events?.counts() ?? { sent: 0, limited: 0, dropped: 0 },
    },
  });

  const onRecordStoreError = (error: RecordStoreError): void => {
    metrics.recordStoreError(error.reason);
    log.error({ reason: error.reason, err: error }, 'a record could not be written');
  };
  const { store, keyedHash, degraded } = openRecordStore({
    stateDir: config.stateDir,
    onNotice: (notice) => log.warn({ notice: notice.kind }, notice.message),
  });
  const decisions = openDecisions(config.stateDir, {
    maxRows: config.decisionsMaxRows,
    maxAgeMs: config.decisionsRetention,
    onProblem: onRecordStoreError,
  });
  const client = createCriClient({
    socketPath,
    onConnectionChange: (connected) => {
      log.info({ connected }, connected ? 'the runtime answers' : 'the runtime is away');
      nri?.runtimeConnected(connected);
      if (!connected) return;
      listFailure = undefined;
      watch?.relist();
      guard.retryNow();
    },
  });
  const events =
    podSource.apiClient &&
    createEvents({
      client: podSource.apiClient,
      nodeName: config.nodeName,
      onProblem: (problem) => log.warn(problem),
    });

  const fuse = keepFuse(
    {
      count: config.fuseCount,
      share: config.fuseShare,
      namespaces: config.fuseNamespaces,
      windowMs: config.fuseWindow,
    },
    {
      // Kept nowhere yet: a restart closes the fuse.
      state: { load: () => undefined, save: () => undefined },
      onOpen: () =>
        log.error(
          { fuse: 'open' },
          'the fuse opened: too many containers with standing would be stopped, none of these is any more',
        ),
      onClose() {
        log.warn({ fuse: 'closed' }, 'the fuse closed: what it let run is judged again');
        guard.fuseClosed();
      },
    },
  );
  const verifier = createVerifier({
    store,
    runtime: client,
    policy: makePolicy(config.verificationPolicy, config.verificationAllowlist),
    rotatedSecrets: config.rotatedSecrets,
    readCredentials: createPodCredentialsReader(pods, keyedHash),
    repull: createRepuller({
      runtime: client,
      store,
      pullTimeoutMs: config.pullTimeout,
      maxParallelPulls: config.maxParallelPulls,
      now: () => performance.now(),
      onRepull: metrics.repull,
      onRecordStoreError,
    }),
    onCheck: metrics.mustPullCheck,
    onEnsured: metrics.imageEnsured,
    onRecordStoreError,
  });
  const stopper = createStopper({
    runtime: client,
    onLaterOutcome: (containerId, outcome) => {
      metrics.enforcement('stop', outcome);
      log.warn({ containerId, action: 'stop', outcome }, 'enforcement');
    },
  });
  const report = createReporter({ log, metrics, decisions, events }, config.mode);
  const settings: EnforcementSettings = {
    mode: config.mode,
    onUnverifiable: config.onUnverifiable,
    unmanaged: config.unmanaged,
    exemptNamespaces: new Set(config.exemptNamespaces),
    ownPodUid: config.podUid ?? '',
  };
  const doubtOf: DoubtOf = () => 'none';
  const configSourceOf: ConfigSourceOf = async () => undefined;
  const contentOf: ContentOf = async (image) => (await client.imageStatus(image))?.id;
  const handover = createHandover();
  const census = createCensus(doubtOf);
  const judging = { pods, configSourceOf, runtime: client, ensureAccess: verifier.ensureAccess, doubtOf };
  const guard = createGuard({
    ...judging,
    handover,
    census,
    enforce: createEnforcer({ settings, fuse, stopper, census }),
    report,
    existing: { delayMs: config.existingContainersDelay, atOnce: EXISTING_CONTAINERS_AT_ONCE },
    patienceMs: config.mode === 'enforce' ? PATIENCE_MS : undefined,
  });
  const onInProgress = () => metrics.enforcement('veto', 'inProgress');
  const veto = createVeto({
    ...judging,
    contentOf,
    settings,
    fuse,
    census,
    handover,
    budget: { patienceMs: (_namespace, untilDeadlineMs) => untilDeadlineMs, spent: () => undefined },
    report,
    onRefusedAgain: () => metrics.refusedAgain(),
    onInProgress,
  });
  const nri =
    config.enforcement === 'stop'
      ? undefined
      : connectNri(config, {
          pods,
          settings,
          veto,
          log,
          onInProgress,
          onDisconnected: metrics.nriDisconnected,
          relist: () => watch?.relist(),
        });
  const housekeeping = createHousekeeping({
    store,
    listImages: () => client.listImages(),
    existingImages: config.existingImages,
    now: Date.now,
    onRecordStoreError,
    onInventoryTaken: (images) =>
      log.warn({ images }, 'first run on this node: the images that are on it count as preloaded'),
  });

  const checks: readonly ReadinessCheck[] = [
    {
      name: 'runtime',
      problem: () => (client.connected() ? undefined : 'runtimeUnavailable: no answer from the runtime'),
    },
    {
      name: 'inventory',
      problem: () => (begun ? undefined : 'the images on the node have not been listed yet'),
    },
    {
      name: 'containers',
      problem: () => (watch?.health().synced ? undefined : 'the containers have not been listed yet'),
    },
    { name: 'pods', problem: () => pods.problem() },
    { name: 'nri', problem: () => nri?.problem() },
    { name: 'records', problem: () => degraded && `${degraded.reason}: ${degraded.message}` },
  ];
  const server =
    config.listenAddress && (await serveTelemetry({ listen: config.listenAddress, metrics, checks }));
  if (server) log.info({ address: server.address }, 'serving');

  /** Everything that needs the runtime's first answer; a container must not be judged before the inventory is there. */
  async function begin(): Promise<void> {
    const retry = createRetryDelay({ initialMs: 200, maxMs: 5_000 });
    while (!begun && !stopping.signal.aborted) {
      try {
        await housekeeping.begin();
        begun = true;
      } catch (error) {
        if (!(error instanceof RuntimeError) && !(error instanceof RecordStoreError)) throw error;
        log.warn({ reason: error.reason, err: error }, 'the images on the node cannot be listed yet');
        await sleep(retry.next(), undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
    if (stopping.signal.aborted) return;
    watch = watchContainers({
      client,
      // Until the agent keeps which containers it has seen, all that were there count.
      wasSeen: () => true,
      relistIntervalMs: config.relistInterval,
      pollIntervalMs: config.pollInterval,
      onContainer: guard.containerSeen,
      onState: (id, change) => {
        if (change === 'started') stopper.onRunning(id);
        if (change !== 'deleted') return;
        stopper.forget(id);
        guard.containerGone(id);
      },
      onGone: () => metrics.containerGone(),
      onMalformedEvent: () => metrics.malformedEvent(),
      onListFailed: (error) => {
        // Tried again every few seconds, for as long as the runtime is away.
        if (listFailure !== error.reason) {
          log.warn({ reason: error.reason, err: error }, 'containers cannot be listed');
        }
        listFailure = error.reason;
      },
    });
  }

  async function prune(): Promise<void> {
    try {
      const forgotten = await housekeeping.prune();
      if (forgotten > 0) log.info({ forgotten }, 'forgot images that left the node');
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
    }
  }

  await pods.start();
  pods.onChange(() => guard.retryNow());
  pods.onPod((pod) => {
    if (config.mode === 'enforce' && nri?.connected()) veto.prepare(pod);
  });
  const beginning = begin();
  const pruning = setInterval(() => void prune(), PRUNE_INTERVAL_MS);
  log.info(
    { mode: config.mode, socket: socketPath, node: config.nodeName, version: packageVersion() },
    'started',
  );

  return {
    async stop() {
      stopping.abort();
      clearInterval(pruning);
      await beginning;
      await nri?.close();
      veto.flush();
      watch?.stop();
      await guard.close(STOP_GRACE_MS);
      await stopper.close();
      // Calls that are still under way end with this, and with them what waits for their answers.
      client.close();
      await guard.idle();
      await verifier.idle();
      fuse.close();
      await events?.close(EVENTS_GRACE_MS);
      await podSource.close();
      await server?.close();
      decisions.close();
      store.close();
    },
  };
}
