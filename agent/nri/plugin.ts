import type { CreateContainerRequest, NriConfiguration, PodOfContainer } from './messages.ts';

/**
 * What a runtime sends to a plugin and asks it, one interface for each event (as containerd/nri, pkg/stub).
 * Another event is another interface here, its messages in messages.ts and its method in session.ts.
 */

export interface ConfigureHandler {
  /** The runtime says who it is and how long it waits for answers. Must not throw. */
  configure(runtime: NriConfiguration): void;
}

export interface SynchronizeHandler {
  /**
   * The runtime has listed what exists, of which nothing is kept. From now on it asks before it creates a
   * container. Must not throw.
   */
  synchronize(): void;
}

export interface CreateContainerHandler {
  /**
   * Asked first. If not, the container is created, and no more is read of it. Must not throw. Default: it
   * is.
   */
  isAsked?(pod: PodOfContainer): boolean;
  /**
   * A container is about to be created; one that cannot be read is refused without this. Return or resolve to
   * let it be created; throw or reject to refuse it: kubelet shows the error's message (cut at 1,024
   * characters, on one line) as CreateContainerError and tries again. A runtime that has no answer by
   * `deadlineMs` (in ms of `performance.now()`) drops the plugin and creates the container.
   */
  createContainer(request: CreateContainerRequest, deadlineMs: number): Promise<void> | undefined;
}

export type NriPlugin = Partial<ConfigureHandler & SynchronizeHandler> & CreateContainerHandler;
