import { forgetGoneNamespaces, type StandingOfNamespaces } from '../access/renewal/gone-namespaces.ts';
import { forgetGoneOwners, type UidNow } from '../access/renewal/gone-owners.ts';
import { createPace } from '../access/renewal/pace.ts';
import { startRenewal } from '../access/renewal/renewal.ts';
import type { Config } from '../config/resolve.ts';
import type { Guard } from '../enforcement/guard/guard.ts';
import { type Reverification, startReverification } from '../enforcement/guard/reverification.ts';
import { PodSourceError, type RecordStoreError, ServiceAccountError } from '../errors.ts';
import type { NamespaceSource } from '../pods/namespace-source.ts';
import type { PodSource } from '../pods/pod-source.ts';
import type { ServiceAccountSource } from '../pods/service-account-source.ts';
import type { RecordStore } from '../records/record-store.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Verification } from './verification.ts';

export type TimeParts = {
  readonly store: RecordStore;
  readonly pods: Pick<PodSource, 'getSecret'>;
  readonly serviceAccounts: Pick<ServiceAccountSource, 'getServiceAccount'>;
  readonly namespaces: NamespaceSource;
  readonly standing: StandingOfNamespaces;
  readonly verification: Pick<Verification, 'renew'>;
  readonly guard: Pick<Guard, 'running' | 'reverify'>;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'grantRenewed'>;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

export type Time = {
  readonly entitlements: Reverification['states'];
  close(): Promise<void>;
};

/**
 * How often secrets, service accounts and namespaces on record are looked for, half as long or half as long
 * again by chance: each costs the API server a request, and a large cluster's nodes are not to ask together.
 */
export const SWEEP_MS = 900_000;

/**
 * What grows old is asked about again: records, what runs, and whether what was granted something is there
 * at all.
 */
export function wireTime(
  config: Pick<Config, 'recordTtl' | 'reverifyRunning' | 'backgroundQuestions'>,
  parts: TimeParts,
): Time {
  const { store, pods, serviceAccounts, verification, guard, log, metrics, onRecordStoreError } = parts;
  const pace = createPace(config.backgroundQuestions);
  const reverification = startReverification({
    periodMs: config.reverifyRunning,
    running: guard.running,
    reverify: guard.reverify,
  });
  const renewal =
    config.recordTtl > 0
      ? startRenewal({
          ttlMs: config.recordTtl,
          store,
          renew: verification.renew,
          pace,
          now: Date.now,
          monotonicNow: () => performance.now(),
          onRevoked({ imageRef, trimmedImage }) {
            log.warn(
              { image: trimmedImage, imageRef },
              'a grant on record was refused now and is taken away',
            );
            reverification.revoked(imageRef);
          },
          onRenewed: (renewed) => metrics.grantRenewed(renewed),
        })
      : undefined;

  async function lookForAll(): Promise<void> {
    await forgetGoneOwners({
      store,
      secretUid: secretUidFrom(pods),
      serviceAccountUid: serviceAccountUidFrom(serviceAccounts),
      pace,
      onForgotten: ({ kind, namespace, name }, grants) =>
        log.info({ kind, namespace, name, grants }, 'forgot what was granted to an owner that is gone'),
      onRecordStoreError,
    });
    await forgetGoneNamespaces({
      standing: parts.standing,
      isThere: parts.namespaces.isThere,
      pace,
      onForgotten: (namespace, count) =>
        log.info({ namespace, images: count }, 'forgot the standing of a namespace that is gone'),
    });
  }

  let sweeping: Promise<void> | undefined;
  function sweep(): void {
    sweeping ??= lookForAll().finally(() => {
      sweeping = undefined;
    });
  }
  function sweepLater(): NodeJS.Timeout {
    const delayMs = SWEEP_MS * (0.5 + Math.random());
    return setTimeout(() => {
      sweep();
      timer = sweepLater();
    }, delayMs).unref();
  }
  let timer = sweepLater();

  return {
    entitlements: reverification.states,
    async close() {
      clearTimeout(timer);
      pace.close();
      await Promise.all([renewal?.close(), reverification.close(), sweeping]);
    },
  };
}

function secretUidFrom(pods: Pick<PodSource, 'getSecret'>): UidNow {
  return async ({ namespace, name }) => {
    try {
      return (await pods.getSecret(namespace, name, { fresh: true }))?.uid;
    } catch (error) {
      if (error instanceof PodSourceError) return 'unknown';
      throw error;
    }
  };
}

function serviceAccountUidFrom(source: Pick<ServiceAccountSource, 'getServiceAccount'>): UidNow {
  return async ({ namespace, name }) => {
    try {
      return (await source.getServiceAccount(namespace, name))?.uid;
    } catch (error) {
      if (error instanceof ServiceAccountError) return 'unknown';
      throw error;
    }
  };
}
