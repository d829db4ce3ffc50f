/** What is known of a pod when the node's credentials for one of its images are looked up. */
export type PodContext = {
  readonly namespace: string;
  readonly name: string;
  /** As in the API: a static pod's own uid is not its mirror pod's, so that no token can be bound to it. */
  readonly uid: string;
  /** spec.serviceAccountName; empty for a static pod. */
  readonly serviceAccountName: string;
};
