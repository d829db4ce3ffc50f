import { loadavg } from 'node:os';
import { startApiServer } from '../../../test/cluster/api-server/api-server.ts';
import { buildAgent } from '../../story/program-of-image.ts';
import { type Quantiles, quantilesOf } from '../statistics.ts';
import {
  openPeerNode,
  type PeerNode,
  type PeerPod,
  type Start,
  type Tenant,
  WAYS,
  type Way,
} from './peer-node.ts';

export type PeerFigures = {
  readonly way: Way;
  readonly starts: number;
  /** The registry's own log, of all starts. */
  readonly requests: number;
  /** Of them, those of the first start of each image by each tenant. */
  readonly firstRequests: number;
  /** ms from kubelet's first look at the image to the container's start. */
  readonly first: Quantiles;
  readonly later: Quantiles;
  /** Starts that needed another try, because the verdict was not there in time. */
  readonly triedAgain: number;
  /** The registry was away: starts of a tenant with a right that it had used before. */
  readonly outage: { readonly starts: number; readonly refused: number };
  /** The registry was there again, or away: starts by one whose password is wrong. */
  readonly stranger: { readonly starts: number; readonly ran: number; readonly ranInOutage: number };
};

export type PeersReport = {
  readonly peers: readonly PeerFigures[];
  readonly load: readonly [number, number];
};

const IMAGES = 10;
const TENANTS = 5;
/** Each tenant starts each image so often: 200 starts of each node. */
export const TIMES = 4;

/**
 * The same starts on three nodes side by side, in turns: with nothing that keeps tenants apart, with
 * `imagePullPolicy: Always` for every pod (what the admission plugin AlwaysPullImages makes of them), and
 * with the agent. The images are on each node already.
 */
export async function benchPeers(times: number, progress: (line: string) => void): Promise<PeersReport> {
  buildAgent();
  const loadBefore = loadavg()[0] ?? Number.NaN;
  const api = await startApiServer({ nodeName: 'agent' });
  const nodes: PeerNode[] = [];
  try {
    for (const way of WAYS) nodes.push(await openPeerNode(api, way, { images: IMAGES, tenants: TENANTS }));
    progress('three nodes are ready');
    const begun = await Promise.all(nodes.map(({ lab }) => lab.registries.htpasswd.mark()));
    const first = await startAll(nodes, (node) => node.tenants);
    const firstRequests = await requestsSince(nodes, begun);
    progress('each tenant has started each image');
    const later: Start[][] = nodes.map(() => []);
    for (let time = 1; time < times; time += 1) {
      for (const [n, starts] of (await startAll(nodes, (node) => node.tenants)).entries()) {
        later[n]?.push(...starts);
      }
    }
    const requests = await requestsSince(nodes, begun);
    progress(`and ${times - 1} times more`);
    const stranger = await startAll(nodes, (node) => [node.stranger]);
    for (const { lab } of nodes) await lab.registries.htpasswd.stop();
    const outage = await startAll(nodes, (node) => node.tenants.slice(0, 1));
    const strangerInOutage = await startAll(nodes, (node) => [node.stranger]);
    progress('and while the registries were away');
    const peers = nodes.map(({ way }, n): PeerFigures => {
      const [firsts = [], laters = [], inOutage = []] = [first[n], later[n], outage[n]];
      const [strangers = [], strangersInOutage = []] = [stranger[n], strangerInOutage[n]];
      const all = [...firsts, ...laters];
      const lost = all.filter(({ started }) => !started).length;
      if (lost > 0) throw new Error(`${way}: ${lost} of ${all.length} starts with a right did not succeed`);
      return {
        way,
        starts: all.length,
        requests: requests[n] ?? Number.NaN,
        firstRequests: firstRequests[n] ?? Number.NaN,
        first: quantilesOf(firsts.map(({ ms }) => ms)),
        later: quantilesOf(laters.map(({ ms }) => ms)),
        triedAgain: all.filter(({ tries }) => tries > 1).length,
        outage: { starts: inOutage.length, refused: inOutage.length - started(inOutage) },
        stranger: {
          starts: strangers.length,
          ran: started(strangers),
          ranInOutage: started(strangersInOutage),
        },
      };
    });
    return { peers, load: [loadBefore, loadavg()[0] ?? Number.NaN] };
  } finally {
    for (const node of nodes) await node.stop();
    await api.close();
  }
}

/**
 * Each of these tenants starts each image on each node; for each start another node is the first. Pods stay:
 * what it takes to end them is nobody's start.
 */
async function startAll(
  nodes: readonly PeerNode[],
  tenantsOf: (node: PeerNode) => readonly Tenant[],
): Promise<Start[][]> {
  const starts: Start[][] = nodes.map(() => []);
  const rounds = Math.max(...nodes.map((node) => tenantsOf(node).length));
  for (let tenant = 0; tenant < rounds; tenant += 1) {
    const pods: PeerPod[] = [];
    for (const node of nodes) {
      const who = tenantsOf(node)[tenant];
      if (who) pods.push(await node.bind(who));
    }
    for (let image = 0; image < IMAGES; image += 1) {
      for (let turn = 0; turn < pods.length; turn += 1) {
        const n = (image + turn) % pods.length;
        const start = await pods[n]?.start(image);
        if (start) starts[n]?.push(start);
      }
    }
  }
  return starts;
}

async function requestsSince(
  nodes: readonly PeerNode[],
  marks: readonly Awaited<ReturnType<PeerNode['lab']['registries']['htpasswd']['mark']>>[],
): Promise<number[]> {
  return Promise.all(
    nodes.map(async ({ lab }, n) => (await lab.registries.htpasswd.requests(marks[n])).length),
  );
}

function started(starts: readonly Start[]): number {
  return starts.filter((start) => start.started).length;
}
