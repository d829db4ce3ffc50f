import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { E2eCluster } from './e2e/cluster.ts';
import { openLabCluster } from './e2e/lab-cluster.ts';
import { openRealCluster } from './e2e/real-cluster.ts';

/** On a real cluster when scripts/e2e-kind names one, otherwise on the lab's own node. */
const isReal = process.env.PULLWARDEN_E2E_KUBECONFIG !== undefined;

describe('a cluster that enforces', { timeout: 300_000 }, () => {
  let cluster: E2eCluster;

  beforeAll(async () => {
    cluster = isReal ? await openRealCluster() : await openLabCluster();
  }, 300_000);

  afterAll(async () => cluster?.stop(), 120_000);

  it.each([
    ['the owner pulls its private image and runs it', 'owner', 'IfNotPresent', 'running'],
    ['the owner runs another, with Never', 'owner', 'Never', 'running'],
    ['a tenant without a secret may not', 'withoutSecret', 'IfNotPresent', 'refused'],
    ['nor may it with Never', 'withoutSecret', 'Never', 'refused'],
    ['a tenant with a wrong password may not', 'wrongPassword', 'IfNotPresent', 'refused'],
    ['nor may it with Never', 'wrongPassword', 'Never', 'refused'],
    ['a tenant with another good secret may', 'otherSecret', 'IfNotPresent', 'running'],
  ] as const)('%s', async (_, tenant, policy, state) => {
    const pod = await cluster.start(tenant, policy);
    await pod.becomes(state);
    await pod.remove();
  });

  it('says on the pod why it was refused, and nothing of others', async () => {
    const pod = await cluster.start('withoutSecret', 'IfNotPresent');
    const { type, reason, message } = await pod.event();
    await pod.remove();
    expect([type, reason]).toEqual(['Warning', 'ImageAccessDenied']);
    const registry = cluster.image.split('/')[0];
    expect(message).toContain(
      `image "${cluster.image}": this pod has no imagePullSecret, and ${registry} does not grant it without one`,
    );
  });
});
