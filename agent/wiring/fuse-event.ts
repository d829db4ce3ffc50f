import type { Config } from '../config/resolve.ts';
import type { PodEvent } from '../kubernetes/event-correlator.ts';

export type FuseChange = 'open' | 'closed';

export const FUSE_MESSAGES: Record<FuseChange, string> = {
  open: 'the fuse opened: too many containers with standing would be stopped, none of these is any more',
  closed: 'the fuse closed: what it let run is judged again',
};

/** The Event on the agent's own pod; undefined where the agent does not know that it runs in one. */
export function fuseEventOf(
  { podNamespace: namespace, podName: name, podUid: uid, nodeName }: FuseEventConfig,
  change: FuseChange,
): PodEvent | undefined {
  if (namespace === undefined || name === undefined || uid === undefined) return undefined;
  return {
    pod: { namespace, name, uid },
    reason: change === 'open' ? 'FuseOpened' : 'FuseClosed',
    message: `node ${nodeName}: ${FUSE_MESSAGES[change]}`,
  };
}

type FuseEventConfig = Pick<Config, 'podNamespace' | 'podName' | 'podUid' | 'nodeName'>;
