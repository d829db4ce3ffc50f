/** A decision as an agent's `decisions -o json` prints it: of a container that would be denied. */
export function deniedDecision(
  image: string,
  node: number,
  time: number,
  fields: Readonly<Record<string, unknown>> = {},
): object {
  return {
    time: new Date(time).toISOString(),
    namespace: 'team-b',
    pod: `web-${node}`,
    podUid: `uid-${node}`,
    container: 'app',
    containerId: `c-${node}-${time}`,
    image,
    verdict: 'denied',
    reason: 'registryRefused',
    message: 'the registry refused it',
    mode: 'audit',
    action: 'none',
    outcome: '',
    ...fields,
  };
}
