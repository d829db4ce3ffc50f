/**
 * What each thing that happens on a node costs others, in requests. They are measured by `measure.ts`;
 * test/node/scale.test.ts holds them.
 */
export type Parts = {
  /** To the API server. */
  readonly api: {
    /** The agent's start, without pods: the list of the node's pods, and the watch. */
    readonly agentStart: number;
    /** A pod whose image has to be asked about; its secret was not read within the last minute, or was. */
    readonly firstImage: number;
    readonly nextImage: number;
    /** A pod whose image is on record for its secret, which was not read within the last minute, or was. */
    readonly onRecordUnread: number;
    readonly onRecord: number;
    /**
     * A minute after the last: the secret is read again, to see whether it has changed. Once for all pods that
     * it let run within that minute.
     */
    readonly recheck: number;
    /** A pod that pulls with its service account, at most: the account, twice, and a token bound to the pod. */
    readonly withAccount: number;
    /** A container that is refused, at most: the Event, and the secret read afresh before anybody is denied. */
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
    firstImage: 1,
    nextImage: 0,
    onRecordUnread: 1,
    onRecord: 0,
    recheck: 1,
    withAccount: 3,
    refusal: 4,
    refusalAgain: 1,
  },
  registry: {
    firstImage: 2,
    nextImage: 1,
    onRecord: 0,
    refusal: 1,
    refusalAgain: 0,
    kubeletsPull: 6,
  },
};
