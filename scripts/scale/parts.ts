/**
 * What each thing that happens on a node costs others, in requests. They are measured by `measure.ts`;
 * test/node/scale.test.ts holds them.
 */
export type Parts = {
  /** To the API server. */
  readonly api: {
    /** The agent's start, without pods: the list of the node's pods, and the watch. */
    readonly agentStart: number;
    /** A pod with one secret that was not read within the last minute. */
    readonly podStart: number;
    /** A pod whose secret was: nothing now, and one read a minute later, to see whether it has changed. */
    readonly podStartCached: number;
    readonly recheck: number;
    /** A pod that pulls with its service account: the account and a token bound to the pod. */
    readonly podStartWithAccount: number;
    /** A container that is refused: the Event, and the secret read afresh before anybody is denied. */
    readonly refusal: number;
    /** Kubelet's next try of it. */
    readonly refusalAgain: number;
  };
  /** To the image's registry, on its first question and on those after it. */
  readonly registry: {
    readonly firstImage: number;
    readonly nextImage: number;
    readonly onRecord: number;
    readonly refusal: number;
    readonly refusalAgain: number;
    /** For comparison: kubelet's own pull of an image of one layer that the node lacks. */
    readonly kubeletsPull: number;
  };
};

export const PARTS: Parts = {
  api: {
    agentStart: 2,
    podStart: 1,
    podStartCached: 0,
    recheck: 1,
    podStartWithAccount: 2,
    refusal: 2,
    refusalAgain: 2,
  },
  registry: {
    firstImage: 2,
    nextImage: 1,
    onRecord: 0,
    refusal: 1,
    refusalAgain: 0,
    kubeletsPull: 5,
  },
};
