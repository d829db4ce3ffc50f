import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { cgroupOf, sweep } from '../../scripts/lab/cleanup.ts';
import { connectKubelet } from '../../scripts/lab/kubelet.ts';
import { containerdVersions } from '../../scripts/lab/programs.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { leftovers } from './leftovers.ts';

const criNode = join(import.meta.dirname, '../../scripts/cri-node');
const offers = await containerdVersions();

const children = new Set<ChildProcess>();

afterEach(() => {
  // After a failed assertion the node would otherwise stay, and hold this process's pipes open.
  for (const child of children) child.kill('SIGTERM');
  children.clear();
});

async function startedByCommand(containerd: string) {
  const child = spawn(criNode, ['--containerd', containerd], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (line.startsWith('Ctrl-C')) break;
  }
  const text = printed.join('\n');
  const endpoint = /unix:\/\/\S+/.exec(text)?.[0] ?? '';
  const anonymous = /(\S+) +anonymous/.exec(text)?.[1] ?? '';
  return { child, text, endpoint, anonymous, root: dirname(endpoint.replace('unix://', '')) };
}

async function runPodIn(endpoint: string, root: string, host: string): Promise<string> {
  await pushImage({ host, pushAuthorization: () => undefined }, 'team-a/app', 'v1');
  const kubelet = connectKubelet(endpoint, { cgroupParent: cgroupOf(root), logFolder: join(root, 'logs') });
  const container = { name: 'main', image: `${host}/team-a/app:v1`, imagePullPolicy: 'Always' as const };
  const spec = { namespace: 'team-a', name: 'pod', uid: 'uid', containers: [container] };
  const { sandboxId } = await kubelet.runPod(spec);
  kubelet.close();
  return sandboxId;
}

for (const { containerd, available, reason } of offers) {
  const title = `cleanup, containerd ${containerd}${available ? '' : ` cannot be had here: ${reason}`}`;
  describe.skipIf(!available)(title, { timeout: 120_000 }, () => {
    it('leaves nothing after SIGTERM, and prints no password', async () => {
      const { child, text, endpoint, anonymous, root } = await startedByCommand(containerd);
      const sandboxId = await runPodIn(endpoint, root, anonymous);
      expect(text).toContain('users alice, bob, dave');
      const passwords = readFileSync(join(root, 'registries/passwords.json'), 'utf8').match(
        /(?<=": ")[\w-]{20}(?=")/g,
      );
      expect(passwords).toHaveLength(6);
      for (const password of passwords ?? []) expect(text).not.toContain(password);
      expect((await leftovers(root, [sandboxId])).length).toBeGreaterThan(5);
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).toEqual([0, null]);
      expect(await leftovers(root, [sandboxId])).toEqual([]);
    });

    it('leaves nothing after the owner was killed and the next one has swept', async () => {
      const { child, endpoint, anonymous, root } = await startedByCommand(containerd);
      const sandboxId = await runPodIn(endpoint, root, anonymous);
      child.kill('SIGKILL');
      await once(child, 'exit');
      await sweep();
      // Another test's node may have begun sweeping the same folder and still be at it.
      await expect.poll(() => leftovers(root, [sandboxId]), { timeout: 15_000 }).toEqual([]);
      expect(existsSync(root)).toBe(false);
    });
  });
}
