import { describe, expect, it } from 'vitest';
import { FUSE_MESSAGES, fuseEventOf } from '../../agent/wiring/fuse-event.ts';

const agent = { podNamespace: 'pullwarden', podName: 'pullwarden-x1', podUid: 'uid-1', nodeName: 'node-a' };

describe('the Event of the fuse', () => {
  it.each([
    ['open', 'FuseOpened'],
    ['closed', 'FuseClosed'],
  ] as const)("is on the agent's own pod when it is %s, and names the node", (change, reason) => {
    expect(fuseEventOf(agent, change)).toEqual({
      pod: { namespace: 'pullwarden', name: 'pullwarden-x1', uid: 'uid-1' },
      reason,
      message: `node node-a: ${FUSE_MESSAGES[change]}`,
    });
  });

  it.each(['podNamespace', 'podName', 'podUid'] as const)('is none where %s is not known', (missing) => {
    expect(fuseEventOf({ ...agent, [missing]: undefined }, 'open')).toBeUndefined();
  });
});
