import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerNotStarted, type PullAuth } from '../lab/kubelet.ts';
import type { LabNode } from '../lab/node.ts';
import type { PodSpec } from '../lab/pod.ts';
import { pushImage } from '../lab/push.ts';
import type { Registry } from '../lab/registry.ts';
import type { AgentProcess } from './agent-process.ts';
import { explainRequests } from './requests.ts';
import { podOf, type Tenant, tenantsOf, type Wanted, writeManifests } from './tenants.ts';

/** One step: a tenant starts a container, and what the agent promises about it. */
export type Step = Wanted & {
  readonly title: string;
  /** What the image is pulled with where it is not the tenant's own login: the node's. */
  readonly pulledWith?: PullAuth;
  readonly promise: {
    readonly verdict: 'allowed' | 'denied';
    readonly reason: string;
    /** Requests that the agent's verdict costs the registry; its token server's are counted apart. */
    readonly requests: 'none' | 'some' | 'any';
  };
};

export type StepResult = {
  readonly step: Step;
  readonly verdict: string;
  readonly reason: string;
  readonly running: boolean;
  /** What kubelet's own pull cost: the registry's own log, explained; empty where it did not pull. */
  readonly kubeletsRequests: readonly string[];
  /** What the verdict cost: the registry's own log, and its token server's. */
  readonly requestsOfAgent: number;
  readonly tokenRequestsOfAgent: number;
  /** Both, in the order in which they came, explained. */
  readonly agentsRequests: readonly string[];
  /** What kubelet and the tenant read where the container was not created; undefined where it was. */
  readonly told: string | undefined;
  /** From the container's start to its end, by the runtime's clock, in ms; undefined for one that runs on. */
  readonly ranForMs: number | undefined;
  readonly kept: boolean;
};

/** How long a container that was allowed is watched for not being stopped after all, in ms. */
const LEFT_RUNNING_MS = 300;
const KUBELETS_PATIENCE_MS = 20_000;
const RETRY_MS = 200;

/** Pushes the private image to both private registries and writes down what is to happen. */
export async function prepareStory(node: LabNode): Promise<Step[]> {
  const { htpasswd, token } = node.registries;
  const tenants = tenantsOf(node);
  const step = (
    tenant: Tenant,
    registry: Registry,
    imagePullPolicy: Wanted['imagePullPolicy'],
    title: string,
    promise: Step['promise'],
  ): Omit<Step, 'name'> => ({
    tenant,
    registry,
    imagePullPolicy,
    title,
    promise,
    image: `${registry.host}/team-a/app:1`,
  });

  await pushImage(htpasswd, 'team-a/app', '1', { salt: 'story' });
  await pushImage(token, 'team-a/app', '1', { salt: 'story of another registry' });
  const granted: Step['promise'] = { verdict: 'allowed', reason: 'repullSucceeded', requests: 'some' };
  const known: Step['promise'] = { verdict: 'allowed', reason: 'recordMatched', requests: 'none' };
  const refused: Step['promise'] = { verdict: 'denied', reason: 'registryRefused', requests: 'some' };
  const never: Step['promise'] = { verdict: 'denied', reason: 'neverWithoutRecord', requests: 'none' };
  const { a, b, c, d, e } = tenants;
  const aOfToken: Tenant = { ...a, login: { username: 'alice', password: token.users.alice ?? '' } };
  return [
    step(a, htpasswd, 'IfNotPresent', 'A pulls its private image and runs it', granted),
    step(a, htpasswd, 'IfNotPresent', 'A runs a second container', known),
    step(a, htpasswd, 'Never', 'A runs a third one with Never', known),
    step(b, htpasswd, 'IfNotPresent', 'B, without a secret, starts a container from it', refused),
    step(b, htpasswd, 'Never', 'B tries again with Never', never),
    step(c, htpasswd, 'IfNotPresent', 'C, with a wrong password, starts one', refused),
    step(c, htpasswd, 'Never', 'C tries again with Never', never),
    step(d, htpasswd, 'IfNotPresent', 'D, with another good secret, starts one', granted),
    step(d, htpasswd, 'IfNotPresent', 'D runs a second container', known),
    step(aOfToken, token, 'IfNotPresent', 'A runs its image of the token registry', granted),
    step(e, token, 'IfNotPresent', 'E, known there but without the right, starts one', refused),
    step(e, token, 'Never', 'E tries again with Never', never),
  ].map((unnamed, n) => ({ ...unnamed, name: `step-${n + 1}` }));
}

/** Lets one step happen on the real node, under the eyes of the running agent, and says how it went. */
export async function play(
  step: Step,
  node: LabNode,
  agent: Pick<AgentProcess, 'verdictOf' | 'verdictOfPod'>,
  podsDirectory: string,
): Promise<StepResult> {
  const pod = podOf(step);
  const { registry } = step;
  const tokens = () => (registry.kind === 'token' ? node.registries.token.tokenRequests() : []);

  const before = await registry.mark();
  const tokensBefore = tokens().length;
  // What kubelet pulls, it pulls before the agent knows the pod, so that time tells their requests apart.
  if (step.imagePullPolicy === 'IfNotPresent' && !(await node.kubelet.imageStatus(step.image))) {
    await node.kubelet.pullImage(step.image, step.pulledWith ?? step.tenant.login);
  }
  const kubelets = await registry.requests(before);
  const beforeAgent = await registry.mark();
  const tokensOfKubelet = tokens().slice(tokensBefore);

  await writeManifests(podsDirectory, step, pod);
  const { id, told } = await start(node, pod, step);
  const { verdict, reason } = await (id === undefined ? agent.verdictOfPod(pod) : agent.verdictOf(id));
  const ended =
    id === undefined ? 0 : verdict === 'denied' ? await waitForEnd(node, id) : await runsOn(node, id);
  const agents = await registry.requests(beforeAgent);
  const tokensOfAgent = tokens().slice(tokensBefore + tokensOfKubelet.length);
  const running = ended === undefined;
  const asPromised =
    verdict === step.promise.verdict &&
    reason === step.promise.reason &&
    running === (step.promise.verdict === 'allowed') &&
    (step.promise.requests === 'any' || agents.length > 0 === (step.promise.requests === 'some'));
  return {
    step,
    verdict,
    reason,
    running,
    kubeletsRequests: explainRequests(kubelets, tokensOfKubelet),
    requestsOfAgent: agents.length,
    tokenRequestsOfAgent: tokensOfAgent.length,
    agentsRequests: explainRequests(agents, tokensOfAgent),
    told,
    ranForMs: told === undefined ? ended : undefined,
    kept: asPromised,
  };
}

type Started = { readonly id?: string; readonly told?: string };

/** As kubelet does it: a container that is refused because its verification is not over is tried again. */
async function start(node: LabNode, pod: PodSpec, { tenant }: Step): Promise<Started> {
  for (const deadline = Date.now() + KUBELETS_PATIENCE_MS; ; await sleep(RETRY_MS)) {
    try {
      const { containers } = await node.kubelet.runPod(pod, tenant.login);
      const [container] = containers;
      return container === undefined ? {} : { id: container.id };
    } catch (error) {
      if (!(error instanceof ContainerNotStarted) || error.reason !== 'CreateContainerError') throw error;
      // The container alone would do; with the sandbox nothing is left of the first try.
      await node.kubelet.removePod(error.sandboxId);
      if (Date.now() < deadline && error.message.includes('verification in progress')) continue;
      return { told: error.message };
    }
  }
}

/** Undefined when it is still running after a while; otherwise for how long it ran, in ms. */
async function runsOn(node: LabNode, id: string): Promise<number | undefined> {
  await sleep(LEFT_RUNNING_MS);
  return lifetime(node, id);
}

async function waitForEnd(node: LabNode, id: string): Promise<number | undefined> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const ranFor = await lifetime(node, id);
    if (ranFor !== undefined || Date.now() > deadline) return ranFor;
    await sleep(20);
  }
}

async function lifetime(node: LabNode, id: string): Promise<number | undefined> {
  const status = await node.kubelet.containerStatus(id);
  return status.state === 'CONTAINER_EXITED' ? Number(status.finishedAt - status.startedAt) / 1e6 : undefined;
}
