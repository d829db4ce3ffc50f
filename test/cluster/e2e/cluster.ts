/** Who asks for the private image. */
export type E2eTenant = 'owner' | 'withoutSecret' | 'wrongPassword' | 'otherSecret';

export type E2ePod = {
  /** Waits until its container runs, or until it is known that it is not let run. */
  becomes(state: 'running' | 'refused'): Promise<void>;
  /** The agent's Event on the pod, once there is one. */
  event(): Promise<{ readonly type: string; readonly reason: string; readonly message: string }>;
  remove(): Promise<void>;
};

/** A cluster with the agent in enforce mode and one private image, whatever it is made of. */
export type E2eCluster = {
  readonly image: string;
  start(tenant: E2eTenant, imagePullPolicy: 'IfNotPresent' | 'Never'): Promise<E2ePod>;
  stop(): Promise<void>;
};
