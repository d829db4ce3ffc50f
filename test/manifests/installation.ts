import { DaemonSet, type IDaemonSet } from 'kubernetes-models/apps/v1';
import { ConfigMap, type IContainer, type IPodSpec } from 'kubernetes-models/v1';
import type { KubernetesObject } from './kustomize.ts';

/** The parts of an installation that most of what is promised of it is about. */
export type Installation = {
  readonly objects: readonly KubernetesObject[];
  readonly daemonSet: IDaemonSet;
  readonly pod: IPodSpec;
  /** The container `agent` and the init container `doctor`. */
  readonly agent: IContainer;
  readonly doctor: IContainer;
  /** What the map of options holds: environment variables of both. */
  readonly options: Readonly<Record<string, string>>;
};

/** Throws TypeError where there is more or less of them than one. */
export function installationOf(objects: readonly KubernetesObject[]): Installation {
  const daemonSet = only(objects.filter(DaemonSet.is), 'DaemonSet');
  const pod = daemonSet.spec?.template.spec;
  if (!pod) throw new TypeError('the DaemonSet has no pod');
  return {
    objects,
    daemonSet,
    pod,
    agent: containerNamed(pod.containers, 'agent'),
    doctor: containerNamed(pod.initContainers, 'doctor'),
    options: only(objects.filter(ConfigMap.is), 'ConfigMap').data ?? {},
  };
}

/** All containers of a pod, of every kind. */
export function containersOf({ containers, initContainers = [] }: IPodSpec): IContainer[] {
  return [...initContainers, ...containers];
}

/** The environment of a container with this map of options; what only the cluster knows has some value. */
export function environmentOf(
  container: IContainer,
  options: Readonly<Record<string, string>>,
): Record<string, string> {
  const variables = (container.env ?? []).flatMap(({ name, value, valueFrom }) => {
    const key = valueFrom?.configMapKeyRef?.key;
    const found = key === undefined ? (value ?? `of-${valueFrom?.fieldRef?.fieldPath}`) : options[key];
    return found === undefined ? [] : [[name, found]];
  });
  return Object.fromEntries(variables);
}

function containerNamed(containers: readonly IContainer[] | undefined, name: string): IContainer {
  return only(
    (containers ?? []).filter((container) => container.name === name),
    `container ${name}`,
  );
}

function only<Item>(items: readonly Item[], what: string): Item {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new TypeError(`${items.length} of ${what}, not 1`);
  return item;
}
