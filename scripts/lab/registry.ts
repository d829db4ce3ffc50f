import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { parseAccessLog, type RegistryRequest } from './access-log.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { LabError } from './errors.ts';
import { freePort } from './ports.ts';
import type { ProcessIdentity } from './processes.ts';
import { labUserAgent, type PushTarget } from './push.ts';

/** A real docker-registry on a loopback port. */
export interface Registry extends PushTarget {
  kind: 'htpasswd' | 'anonymous' | 'token';
  /** Passwords by user name; empty for the anonymous one. */
  users: Record<string, string>;
  /**
   * The requests in the registry's own access log, without the lab's, since a mark (default: since the
   * start). Waits until the registry has logged whatever it has answered.
   */
  requests(since?: LogMark): Promise<RegistryRequest[]>;
  /** Now, for {@link requests}. */
  mark(): Promise<LogMark>;
  /** Ends the registry's process; its port stays its own. Does nothing when it is stopped already. */
  stop(): Promise<void>;
  /** Starts it again on the same port with the same content. */
  start(): Promise<void>;
}

/** A place in an access log, in bytes. */
interface LogMark {
  readonly offset: number;
}

/** What {@link startRegistry} needs to know. */
export interface RegistryOptions {
  kind: Registry['kind'];
  program: string;
  folder: string;
  /** The `auth` section of the registry's configuration. */
  auth?: object;
  users?: Record<string, string>;
  pushAuthorization?: (repository: string) => string | undefined;
  onProcess: (process: ProcessIdentity) => Promise<void>;
}

async function bytesFrom(path: string, offset: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.max(0, size - offset));
    await file.read(bytes, 0, bytes.length, offset);
    return bytes.toString('utf8');
  } finally {
    await file.close();
  }
}

async function answers(host: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${host}/v2/`, {
      headers: { 'user-agent': labUserAgent },
      signal: AbortSignal.timeout(1_000),
    });
    await response.text();
    return response.headers.has('docker-distribution-api-version');
  } catch {
    return false;
  }
}

/**
 * Starts a registry on a free port; it stores below `folder`.
 * @throws {LabError} when it does not answer within 10 s, with the end of its log.
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { folder, kind } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const host = `127.0.0.1:${await freePort()}`;
  const configFile = join(folder, 'config.yml');
  const logFile = join(folder, 'access.log');
  const errorFile = join(folder, 'registry.log');
  const config = {
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(folder, 'storage') }, delete: { enabled: true } },
    http: { addr: host, secret: randomUUID() },
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  };
  await writeFile(configFile, stringify(config), { mode: 0o600 });
  let daemon: Daemon | undefined;

  const start = async () => {
    if (daemon?.isRunning() === true) return;
    const started = await startDaemon({
      program: options.program,
      arguments: ['serve', configFile],
      stdoutFile: logFile,
      stderrFile: errorFile,
      env: { OTEL_TRACES_EXPORTER: 'none' },
      onProcess: options.onProcess,
    });
    daemon = started;
    const deadline = Date.now() + 10_000;
    while (!(await answers(host)) || !started.isRunning()) {
      if (Date.now() > deadline || !started.isRunning()) {
        const log = await readFile(errorFile, 'utf8');
        throw new LabError(`the ${kind} registry at ${host} does not answer: ${log.slice(-500)}`);
      }
      await sleep(20);
    }
  };

  // A request of the lab's own that shows up in the log says that all earlier ones have been logged.
  const settled = async () => {
    if (daemon?.isRunning() !== true) return;
    const { size } = await stat(logFile);
    const marker = `/v2/?lab=${randomUUID()}`;
    const response = await fetch(`http://${host}${marker}`, { headers: { 'user-agent': labUserAgent } });
    await response.text();
    for (const deadline = Date.now() + 2_000; Date.now() < deadline; await sleep(5)) {
      if ((await bytesFrom(logFile, size)).includes(marker)) return;
    }
    throw new LabError(`the ${kind} registry wrote no access log line within 2 s`);
  };

  await start();
  return {
    kind,
    host,
    users: options.users ?? {},
    pushAuthorization: options.pushAuthorization ?? (() => undefined),
    async requests(since) {
      await settled();
      const all = parseAccessLog(await bytesFrom(logFile, since?.offset ?? 0));
      return all.filter(({ userAgent }) => userAgent !== labUserAgent);
    },
    async mark() {
      await settled();
      return { offset: (await stat(logFile)).size };
    },
    async stop() {
      await daemon?.end('SIGTERM');
    },
    start,
  };
}
