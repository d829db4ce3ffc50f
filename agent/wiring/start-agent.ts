import { setTimeout as sleep } from 'node:timers/promises';
import { makePolicy } from '../access/record/policy.ts';
import type { Config } from '../config/resolve.ts';
import type { ToJudgeAgain } from '../enforcement/guard/guard.ts';
import { RecordStoreError, RuntimeError } from '../errors.ts';
import { createEvents } from '../kubernetes/events.ts';
import { openDecisions } from '../records/decisions.ts';
import { createHousekeeping } from '../records/housekeeping.ts';
import { createRetryDelay } from '../retry-delay.ts';
import { type ContainerWatch, watchContainers } from '../runtime/container-watch.ts';
import { createCriClient } from '../runtime/cri-client.ts';
import { findRuntimeSocket } from '../runtime/endpoint.ts';
import { askForImageNames, keepImageNames } from '../runtime/image-names.ts';
import { createRepeatedTask } from '../runtime/repeated-task.ts';
import type { ReadinessCheck } from '../telemetry/health.ts';
import { serveTelemetry } from '../telemetry/http.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { packageVersion } from '../version.ts';
import { connectNri } from './connect-veto.ts';
import { wireEnforcement } from './enforcement.ts';
import { fuseEventOf } from './fuse-event.ts';
import { keepRuntimeRegistries } from './keep-runtime-registries.ts';
import { openNodeCredentials } from './node-credentials.ts';
import { openEndpoints } from './open-endpoints.ts';
import { openPodSource } from './open-pod-source.ts';
import { openRecords } from './open-records.ts';
import { openRegistry } from './open-registry.ts';
import { createReporter } from './reporter.ts';
import { createSignal } from './signal.ts';
import { wireTime } from './time.ts';
import { wireVerification } from './verification.ts';

/** How often images that left the node are forgotten; kubelet's image garbage collection runs as often. */
const PRUNE_INTERVAL_MS = 300_000;
const LOOK_AT_IMAGES_MS = 60_000;
/** Containers that appear within this share one list of images. */
const SHARE_LOOK_MS = 200;
/** Verdicts under way get this long; kubelet kills after 30 s. */
const STOP_GRACE_MS = 5_000;
/** For Events that are still to be sent. */
const EVENTS_GRACE_MS = 2_000;

export type Agent = {
  /**
   * Ends everything in order: no new verdicts, those under way are finished, then the databases are closed.
   */
  stop(): Promise<void>;
};

/**
 * Puts a running agent together from its parts, from top to bottom: each uses only what stands above it. What
 * a part has to say to one below goes through a signal.
 *
 * @throws ConfigError, EndpointError, PodSourceError, ListenError, RecordStoreError for what can never work;
 * a runtime that is away, a full disk or a damaged database do not end the agent but show on /readyz
 */
export async function startAgent(config: Config, log: Log): Promise<Agent> {
  const stopping = new AbortController();
  const metrics = createMetrics({
    version: packageVersion(),
    revision: config.revision ?? 'unknown',
    nodeVersion: process.version,
  });

  // Where everything comes from.
  const podSource = openPodSource(config, {
    onProblem: (problem) => log.warn(problem),
    onSynced: (count) => log.info({ pods: count }, 'pods are watched'),
  });
  const { pods } = podSource;
  const socketPath = findRuntimeSocket(config.runtimeEndpoint);
  const runtimeConnection = createSignal<boolean>();
  const endpoints = openEndpoints(config, socketPath);
  const client = createCriClient({
    socketPath,
    onConnectionChange: runtimeConnection.emit,
    hostsOfRegistry: endpoints.hosts,
  });
  // In audit nothing could be refused, and a plugin costs every creation a little.
  const hasVeto = config.mode !== 'audit' && config.enforcement !== 'stop';
  const namesChanged = createSignal<void>();
  const imageNames = hasVeto
    ? keepImageNames({ runtime: client, onChange: namesChanged.emit })
    : askForImageNames(client);
  const registry = openRegistry(endpoints);
  const node = openNodeCredentials(config, podSource.serviceAccounts, ({ provider, outcome }) =>
    metrics.providerRun(provider, outcome),
  );

  // What is known.
  const onRecordStoreError = (error: RecordStoreError): void => {
    metrics.recordStoreError(error.reason);
    log.error({ reason: error.reason, err: error }, 'a record could not be written');
  };
  const records = await openRecords(config.stateDir, log, onRecordStoreError);
  const { store, containers } = records;
  const decisions = openDecisions(config.stateDir, {
    maxRows: config.decisionsMaxRows,
    maxAgeMs: config.decisionsRetention,
    onProblem: onRecordStoreError,
  });

  // Verdicts.
  const judgeAgain = createSignal<ToJudgeAgain>();
  const verification = wireVerification(
    {
      policy: makePolicy(config.verificationPolicy, config.verificationAllowlist),
      rotatedSecrets: config.rotatedSecrets,
      proof: config.proof,
      runtimeGrants: config.runtimeGrants,
      bytes: config.bytes,
      trustedRegistries: config.trustedRegistries,
      nodeCredentials: config.nodeCredentials,
      questionsPerRegistry: config.maxParallelPulls,
      pullTimeoutMs: config.pullTimeout,
      backgroundQuestions: config.backgroundQuestions,
    },
    {
      pods,
      runtime: client,
      registry,
      mayHaveOwnWay: endpoints.mayHaveOwnWay,
      node: node.source,
      store,
      standing: records.standing,
      shown: records.shown,
      matched: records.matched,
      keyedHash: records.keyedHash,
      now: () => performance.now(),
    },
    {
      onCheck: metrics.mustPullCheck,
      onEnsured: metrics.imageEnsured,
      onPull: metrics.repull,
      onSecondOpinion: metrics.secondOpinion,
      onShown({ registry: host, namespace, outcome, bytes }) {
        metrics.bytesShown(outcome, bytes);
        if (outcome === 'lacks')
          log.warn({ registry: host, namespace }, 'a registry grants content that it has not shown to hold');
      },
      onRecordStoreError,
      onSecretsChanged: ({ uid }) => judgeAgain.emit({ podUid: uid }),
      onBytesInDoubt: (imageRefs) => judgeAgain.emit({ imageRefs }),
    },
  );
  const { verifier, ledger } = verification;
  const runtimeRegistries = () => ({
    onlyReached: verification.onlyReachedByRuntime(),
    granted: verification.runtimeGrants.registries(),
  });
  const keptRegistries = keepRuntimeRegistries(runtimeRegistries, records.saveRuntimeRegistries);

  // What is done about them, and who hears of it.
  const events =
    podSource.apiClient &&
    createEvents({
      client: podSource.apiClient,
      nodeName: config.nodeName,
      onProblem: (problem) => log.warn(problem),
    });
  const report = createReporter({ log, metrics, decisions, events }, config.mode);
  const { settings, fuse, stopper, guard, veto } = wireEnforcement(config, {
    pods,
    runtime: client,
    imageNames,
    ensureAccess: verifier.ensureAccess,
    reverify: verification.reverify,
    doubtOf: verification.doubtOf,
    fuseState: records.fuseState,
    report,
    onFuse(change) {
      const event = fuseEventOf(config, change);
      if (event) events?.report(event);
    },
    log,
    metrics,
  });
  judgeAgain.on(guard.judgeAgain);
  const { serviceAccounts, namespaces } = podSource;
  const { standing } = records;
  const time = wireTime(config, {
    ...{ store, standing, pods, serviceAccounts, namespaces, verification, guard, log, metrics },
    onRecordStoreError,
  });

  // How containers get here.
  const relist = createSignal<void>();
  const nri = hasVeto
    ? connectNri(config, {
        pods,
        settings,
        veto,
        log,
        onInProgress: () => metrics.enforcement('veto', 'inProgress'),
        onAnswered: (waitedMs) => metrics.vetoAnswered(waitedMs / 1_000),
        onDisconnected: metrics.nriDisconnected,
        relist: relist.emit,
      })
    : undefined;
  const housekeeping = createHousekeeping({
    store,
    listImages: client.listImages,
    existingImages: config.existingImages,
    now: Date.now,
    onRecordStoreError,
    onInventoryTaken: (images) => log.warn({ images }, firstRunText(config.existingImages)),
    onPrune(imageRefs) {
      records.prune(imageRefs);
      void forgetPieces(imageRefs);
    },
  });
  let watch: ContainerWatch | undefined;
  /** CRI has no events for images: who brought what is seen from lists, as early as can be. */
  const imageLooks = createRepeatedTask({
    run: () => untilRuntimeIsBack(ledger.look),
    intervalMs: () => LOOK_AT_IMAGES_MS,
    retry: { initialMs: 200, maxMs: 10_000 },
  });

  /**
   * Everything that needs the runtime's first answer; a container must not be judged before the inventory is
   * there.
   */
  async function begin(): Promise<void> {
    const retry = createRetryDelay({ initialMs: 200, maxMs: 5_000 });
    while (!stopping.signal.aborted) {
      try {
        await housekeeping.begin();
        break;
      } catch (error) {
        if (!(error instanceof RuntimeError) && !(error instanceof RecordStoreError)) throw error;
        log.warn({ reason: error.reason, err: error }, 'the images on the node cannot be listed yet');
        await sleep(retry.next(), undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
    if (stopping.signal.aborted) return;
    imageLooks.soon();
    const listing = createListFailures(log);
    watch = watchContainers({
      client,
      wasSeen: containers.wasSeen,
      relistIntervalMs: config.relistInterval,
      pollIntervalMs: config.pollInterval,
      onContainer(container, seen) {
        imageLooks.soon(SHARE_LOOK_MS);
        containers.seen(container, seen);
        guard.containerSeen(container, seen);
      },
      onState: (id, change) => {
        if (change === 'started') stopper.onRunning(id);
        if (change !== 'deleted') return;
        stopper.forget(id);
        guard.containerGone(id);
      },
      onSynced: containers.firstListEnded,
      onGone: metrics.containerGone,
      onMalformedEvent: metrics.malformedEvent,
      onListFailed: listing.failed,
    });
    runtimeConnection.on(listing.connectionChanged);
  }

  /** What a container uses stays known although the image has lost its names. */
  function forgetPieces(imageRefs: readonly string[]): Promise<boolean> {
    return untilRuntimeIsBack(async () => {
      const used = (await client.listContainers()).map(({ imageRef }) => imageRef);
      await ledger.keepOnly([...imageRefs, ...used]);
    });
  }

  async function prune(): Promise<void> {
    try {
      const forgotten = await housekeeping.prune();
      if (forgotten > 0) log.info({ forgotten }, 'forgot images that left the node');
      containers.keepOnly(new Set((await client.listContainers()).map(({ id }) => id)));
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
    }
  }

  relist.on(() => watch?.relist());
  namesChanged.on(() => nri?.namesChanged());
  runtimeConnection.on((connected) => {
    if (connected) log.info('the runtime answers');
    else log.warn('the runtime is away');
    nri?.runtimeConnected(connected);
    if (!connected) return;
    imageNames.settle();
    watch?.relist();
    guard.retryNow();
  });

  // How it can be seen.
  metrics.observe({
    pulledRecords: () => store.recordCount,
    pullIntents: () => store.listPullIntents().length,
    runtimeConnected: client.connected,
    runtimeEventsSupported: () => watch?.health().eventsSupported ?? false,
    podsSourceReady: () => pods.problem() === undefined,
    nriConnected: () => nri?.connected() ?? false,
    fuseOpen: fuse.isOpen,
    pendingVerdicts: guard.pending,
    runtimeRegistries,
    entitlements: time.entitlements,
    runtimeGrants: () => verification.runtimeGrants.repositories().length,
    lastList: () => (watch?.health().lastListAt ?? 0) / 1_000,
    events: () => events?.counts() ?? { sent: 0, limited: 0, dropped: 0 },
  });
  const checks: readonly ReadinessCheck[] = [
    {
      name: 'runtime',
      problem: () => (client.connected() ? undefined : 'runtimeUnavailable: no answer from the runtime'),
    },
    {
      name: 'inventory',
      problem: () => (watch ? undefined : 'the images on the node have not been listed yet'),
    },
    {
      name: 'containers',
      problem: () => (watch?.health().synced ? undefined : 'the containers have not been listed yet'),
    },
    { name: 'pods', problem: () => pods.problem() },
    { name: 'nri', problem: () => nri?.problem() },
    {
      name: 'records',
      problem: () => store.degraded && `${store.degraded.reason}: ${store.degraded.message}`,
    },
  ];
  const server =
    config.listenAddress && (await serveTelemetry({ listen: config.listenAddress, metrics, checks }));
  if (server) log.info({ address: server.address }, 'serving');

  // Off it goes.
  await pods.start();
  pods.onChange(guard.retryNow);
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
      imageLooks.stop();
      imageNames.close();
      verification.close();
      const timeClosed = time.close();
      node.close();
      await guard.close(STOP_GRACE_MS);
      await stopper.close();
      // Calls that are still under way end with this, and with them what waits for their answers.
      client.close();
      await registry.close();
      await timeClosed;
      await guard.idle();
      await verifier.idle();
      fuse.close();
      await events?.close(EVENTS_GRACE_MS);
      await podSource.close();
      await server?.close();
      decisions.close();
      keptRegistries.close();
      records.close();
    },
  };
}

/** Did it work? A runtime that is away is asked again later. */
async function untilRuntimeIsBack(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return false;
  }
}

/** One line a row of failures: a list is tried again every few seconds for as long as the runtime is away. */
function createListFailures(log: Log) {
  let logged: RuntimeError['reason'] | undefined;
  return {
    failed(error: RuntimeError) {
      if (logged !== error.reason)
        log.warn({ reason: error.reason, err: error }, 'containers cannot be listed');
      logged = error.reason;
    },
    connectionChanged(connected: boolean) {
      if (connected) logged = undefined;
    },
  };
}

function firstRunText(existingImages: Config['existingImages']): string {
  return existingImages === 'verify'
    ? 'first run on this node: none of the images that are on it counts as preloaded'
    : 'first run on this node: the images that are on it count as preloaded';
}
