import { createProcessExec } from './by-process.ts';
import { createProxiedExec } from './by-proxy.ts';
import type { Exec, ExecTarget } from './exec.ts';
import { startProxy } from './proxy.ts';

/**
 * Through one `kubectl proxy` for all agents, where that can be had: each kubectl costs some 0.2 s of a core
 * and 40 MB. Otherwise one `kubectl exec` for each agent.
 */
export async function openExec(target: ExecTarget): Promise<Exec> {
  const byProcess = createProcessExec(target);
  const proxy = await startProxy(target.kubectl, target.namespace);
  return proxy === undefined ? byProcess : createProxiedExec(proxy, byProcess, target);
}
