import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What `kubectl exec` in an agent's pod does. */
export type AgentAnswer =
  | { readonly says: unknown; readonly exitCode?: number }
  | { readonly is: 'hanging' | 'gone' | 'talking nonsense' };

export type FakeCluster = {
  /** The executable that stands for kubectl. */
  readonly kubectl: string;
  /** What was run in the agents' pods, in kubectl's words. */
  calls(): Promise<readonly string[]>;
  remove(): Promise<void>;
};

const BEHAVIOUR = {
  hanging: 'exec sleep 600',
  gone: 'echo "error: unable to upgrade connection: container not found (\\"agent\\")" >&2; exit 1',
  'talking nonsense': 'echo "not JSON"',
} as const;

/**
 * A kubectl of a few lines of shell, because no cluster of 200 nodes can be had: `get pods` lists an agent
 * for each node, `exec` says what that node's agent says, `get pod NAME` finds the tenants' pods. It refuses
 * every other call, so that what is asked of the real one is what this one knows.
 */
export async function fakeCluster(
  agents: ReadonlyMap<string, AgentAnswer>,
  pods: Readonly<Record<string, { readonly namespace: string; readonly node?: string }>> = {},
): Promise<FakeCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-kubectl-'));
  await mkdir(join(folder, 'answers'));
  const items = [...agents.keys()].map((node) => ({
    metadata: { name: `pullwarden-${node}` },
    spec: { nodeName: node },
    status: { phase: 'Running' },
  }));
  await writeFile(join(folder, 'agents.json'), JSON.stringify({ items }));
  for (const [node, answer] of agents) {
    const path = join(folder, 'answers', `pullwarden-${node}`);
    if ('says' in answer) {
      await writeFile(`${path}.json`, JSON.stringify(answer.says));
      await writeFile(path, `cat '${path}.json'; exit ${answer.exitCode ?? 0}`);
    } else await writeFile(path, BEHAVIOUR[answer.is]);
  }
  for (const [name, { namespace, node }] of Object.entries(pods)) {
    const pod = { metadata: { name, namespace }, spec: node === undefined ? {} : { nodeName: node } };
    await writeFile(join(folder, `pod-${name}.json`), JSON.stringify(pod));
  }
  const kubectl = join(folder, 'kubectl');
  await writeFile(
    kubectl,
    `#!/bin/sh
cd '${folder}' || exit 9
case "$*" in
'get pods --namespace pullwarden --selector app.kubernetes.io/name=pullwarden --output json') cat agents.json ;;
'get pods'*) echo '{"items": []}' ;;
'get pod '*) pod=$(echo "$*" | sed 's/ --output json$//; s/.* //'); cat "pod-$pod.json" 2>/dev/null ||
  { echo "Error from server (NotFound): pods \\"$pod\\" not found" >&2; exit 1; } ;;
'exec --namespace pullwarden '*' --container agent -- pullwarden '*) echo "$*" >>calls; . "answers/$4" ;;
*) echo "error: unknown call: $*" >&2; exit 8 ;;
esac
`,
  );
  await chmod(kubectl, 0o755);
  return {
    kubectl,
    calls: async () => (await readFile(join(folder, 'calls'), 'utf8')).trimEnd().split('\n'),
    remove: () => rm(folder, { recursive: true }),
  };
}
