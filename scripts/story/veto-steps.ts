import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LyingRegistry } from '../lab/lying-registry.ts';
import type { LabNode } from '../lab/node.ts';
import { pushImage } from '../lab/push.ts';
import type { Step } from './story.ts';
import { type Tenant, tenantsOf } from './tenants.ts';

/** Tenants whom only the demo has. */
export const ATTACKER: Tenant = { letter: 'F', namespace: 'team-f', who: 'runs a registry of its own' };
const NODES_GUEST: Tenant = {
  letter: 'G',
  namespace: 'team-g',
  who: 'has no secret; the node itself may pull its image',
};

/** Below this, the node's docker config file is good for images; and for nothing else of that registry. */
const NODES_REPOSITORIES = 'platform';

/** The node's docker config file, as kubelet would have it; gives its path. */
export async function writeNodeDockerConfig(node: LabNode): Promise<string> {
  const { host } = node.registries.htpasswd;
  const path = join(node.root, 'node-docker-config.json');
  const auths = { [`${host}/${NODES_REPOSITORIES}`]: nodeLogin(node) };
  await writeFile(path, JSON.stringify({ auths }), { mode: 0o600 });
  return path;
}

function nodeLogin({ registries }: LabNode): { readonly username: string; readonly password: string } {
  return { username: 'dave', password: registries.htpasswd.users.dave ?? '' };
}

/** The second act: the steps and what the agent promises about each, with the veto. */
export async function vetoSteps(node: LabNode, liar: LyingRegistry, claimed: string): Promise<Step[]> {
  const { htpasswd, token } = node.registries;
  const { a, b, c, d, e } = tenantsOf(node);
  await pushImage(token, 'team-a/app', '1', { salt: 'demo, another registry' });
  await pushImage(htpasswd, `${NODES_REPOSITORIES}/agent`, '1', { salt: 'demo, platform' });
  const granted: Step['promise'] = { verdict: 'allowed', reason: 'repullSucceeded', requests: 'some' };
  const known: Step['promise'] = { verdict: 'allowed', reason: 'recordMatched', requests: 'none' };
  const refused: Step['promise'] = { verdict: 'denied', reason: 'registryRefused', requests: 'some' };
  const never: Step['promise'] = { verdict: 'denied', reason: 'neverWithoutRecord', requests: 'none' };
  /** B was refused when its container of before was judged, and that counts for a while. */
  const stillRefused: Step['promise'] = { ...refused, requests: 'any' };
  const notShown: Step['promise'] = { verdict: 'denied', reason: 'bytesNotShown', requests: 'any' };
  const byNode: Step['promise'] = { verdict: 'allowed', reason: 'nodeCredentials', requests: 'some' };
  const ofA = { registry: htpasswd, image: `${htpasswd.host}/team-a/app:1` };
  const ofToken = { registry: token, image: `${token.host}/team-a/app:1` };
  const ofNode = { registry: htpasswd, image: `${htpasswd.host}/${NODES_REPOSITORIES}/agent:1` };
  const aOfToken: Tenant = { ...a, login: { username: 'alice', password: token.users.alice ?? '' } };
  const steps: readonly Omit<Step, 'name' | 'imagePullPolicy'>[] = [
    { ...ofA, tenant: a, title: 'A runs a second container', promise: known },
    { ...ofA, tenant: b, title: 'B, without a secret, tries it now', promise: stillRefused },
    { ...ofA, tenant: b, title: 'B tries again with Never', promise: never },
    { ...ofA, tenant: c, title: 'C, with a wrong password, tries it', promise: refused },
    { ...ofA, tenant: d, title: 'D, with another good secret, runs it', promise: granted },
    { ...ofA, tenant: d, title: 'D runs a second container', promise: known },
    { ...ofToken, tenant: aOfToken, title: 'A runs its image of the token registry', promise: granted },
    { ...ofToken, tenant: e, title: 'E, known there but without the right, tries it', promise: refused },
    {
      tenant: ATTACKER,
      registry: { ...htpasswd, host: liar.host },
      image: claimed,
      title: "F's own registry claims A's image",
      promise: notShown,
    },
    {
      ...ofNode,
      tenant: NODES_GUEST,
      pulledWith: nodeLogin(node),
      title: 'G runs what the node itself may pull',
      promise: byNode,
    },
    { ...ofNode, tenant: b, title: 'B runs it as well, asking nobody', promise: known },
  ];
  return steps.map((step, n) => ({
    ...step,
    name: `demo-${n + 1}`,
    imagePullPolicy: step.promise === never ? 'Never' : 'IfNotPresent',
  }));
}
