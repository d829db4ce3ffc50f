import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OPTION_LIST, variableOf } from '../agent/config/options.ts';

const FILE = fileURLToPath(new URL('../manifests/agent/options.yaml', import.meta.url));
/** The DaemonSet sets it by itself. */
const OF_THE_NODE = 'nodeName';

/**
 * Writes manifests/agent/options.yaml: a patch that gives the agent and doctor every option of the map
 * pullwarden-options by name. With `--check` it writes nothing and ends with 1 when the file is not that of
 * agent/config/options.ts.
 */
function main(check: boolean): number {
  const wanted = patch();
  if (readFileSync(FILE, 'utf8') === wanted) return 0;
  if (check) {
    process.stderr.write('manifests/agent/options.yaml is stale: run `node scripts/manifest-options.ts`\n');
    return 1;
  }
  writeFileSync(FILE, wanted);
  return 0;
}

function patch(): string {
  const variables = OPTION_LIST.filter(({ name, hidden }) => !hidden && name !== OF_THE_NODE).map(
    ({ name }) => {
      const variable = variableOf(name);
      return `            - name: ${variable}
              valueFrom:
                configMapKeyRef:
                  name: pullwarden-options
                  key: ${variable}
                  optional: true
`;
    },
  );
  const env = `          env:\n${variables.join('')}`;
  return `# Written by scripts/manifest-options.ts. By name and not by envFrom: whoever may edit the map of options
# could set any other variable with that, and NODE_OPTIONS makes Node load a program of theirs.
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: pullwarden
spec:
  template:
    spec:
      initContainers:
        - name: doctor
${env}      containers:
        - name: agent
${env}`;
}

process.exitCode = main(process.argv.includes('--check'));
