import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { PluginRequest, PluginResponse } from '../../../agent/credentials/exec-protocol.ts';
import { pluginEnvironment } from '../../../agent/credentials/plugin-environment.ts';
import { createExecPlugin } from '../../../agent/credentials/providers/exec-plugin.ts';
import { EXEC_VERSIONS } from '../../../agent/credentials/validate-provider-config.ts';
import { ProviderError } from '../../../agent/errors.ts';
import type { Difference, Vector } from '../vector.ts';
import { compare } from './compare.ts';
import { auth } from './recorded-provider.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

const vector = z.object({
  name: z.string(),
  input: z.object({
    apiVersion: z.enum(EXEC_VERSIONS),
    args: z.array(z.string()),
    env: z.array(z.object({ name: z.string(), value: z.string() })),
    environ: z.array(z.string()),
    image: z.string(),
    serviceAccountToken: z.union([z.string(), z.object({ char: z.string(), count: z.number() })]),
    serviceAccountAnnotations: z.record(z.string(), z.string()).nullable(),
  }),
  plugin: z.object({
    stdout: z.string().optional(),
    stdoutBase64: z.string().optional(),
    spacesAfterFirstByte: z.number().optional(),
    stderr: z.string().optional(),
    exitCode: z.number().optional(),
    shellBeforeOutput: z.string().optional(),
    neverReadsStdin: z.boolean().optional(),
    binary: z.enum(['missing', 'notExecutable', 'noShebang']).optional(),
  }),
  expect: z.object({
    stdin: z.string().optional(),
    stdinSha256: z.string().optional(),
    stdinLength: z.number().optional(),
    argsSeen: z.array(z.string()).optional(),
    envSeen: z.array(z.string()).optional(),
    cwdIsKubelets: z.boolean().optional(),
    ok: z.boolean(),
    response: z
      .object({
        cacheKeyType: z.string(),
        cacheDurationNs: z.number().nullable(),
        auth,
        authIsNil: z.boolean(),
      })
      .optional(),
    errorClass: z.string().optional(),
    waitedForBackgroundChild: z.boolean().optional(),
  }),
});

type ExecProtocolVector = z.infer<typeof vector>;

/**
 * exec-protocol.json: a real process for each vector. Kubelet bounds neither time (below a minute) nor
 * output; here the bound is set beyond what the vectors print, and has tests of its own. @throws ZodError.
 */
export function execProtocolVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: recorded.name,
      differences: () => inTemporaryFolder((folder) => differences(recorded, folder)),
    }));
}

const LIMITS = { timeoutMs: 30_000, stdoutBytes: 64 * 1_048_576 };
const BACKGROUND_CHILD_MS = 1_500;

async function differences(
  { input, plugin, expect }: ExecProtocolVector,
  folder: string,
): Promise<readonly Difference[]> {
  const { binDir, seenDir } = await install(folder, plugin);
  const exec = createExecPlugin(
    { name: 'ecr-provider', apiVersion: input.apiVersion, args: input.args, env: input.env },
    { binDir, limits: LIMITS, environment: () => input.environ, signal: new AbortController().signal },
  );
  const started = performance.now();
  const outcome = await outcomeOf(() => exec.run(requestOf(input), { registry: '', namespace: '' }));
  const waited = performance.now() - started > BACKGROUND_CHILD_MS;
  const { stdin, args, environment, cwd } = await seenIn(seenDir);
  return [
    ...compare('outcome', expectedOf(expect), outcome),
    ...ifRecorded('stdin', expect.stdin, stdin.toString()),
    ...ifRecorded('stdinLength', expect.stdinLength, stdin.length),
    ...ifRecorded('stdinSha256', expect.stdinSha256, createHash('sha256').update(stdin).digest('hex')),
    ...ifRecorded('argsSeen', expect.argsSeen, args),
    ...(expect.envSeen === undefined
      ? []
      : [
          ...compare('environment', expect.envSeen, pluginEnvironment(input.environ, input.env)),
          // Node cannot hand over what has no `=`.
          ...compare(
            'envSeen',
            expect.envSeen.filter((entry) => entry.includes('=')),
            environment,
          ),
        ]),
    ...ifRecorded('cwdIsKubelets', expect.cwdIsKubelets, cwd === process.cwd()),
    ...ifRecorded('waitedForBackgroundChild', expect.waitedForBackgroundChild, waited),
  ];
}

function ifRecorded(what: string, expected: unknown, actual: unknown): readonly Difference[] {
  return expected === undefined ? [] : compare(what, expected, actual);
}

function requestOf({
  image,
  serviceAccountToken: token,
  ...input
}: ExecProtocolVector['input']): PluginRequest {
  const annotations = input.serviceAccountAnnotations;
  return {
    image,
    serviceAccountToken: typeof token === 'string' ? token : token.char.repeat(token.count),
    serviceAccountAnnotations: annotations ? new Map(Object.entries(annotations)) : undefined,
  };
}

function expectedOf({ ok, response, errorClass }: ExecProtocolVector['expect']): object {
  return ok ? { response } : { errorClass };
}

async function outcomeOf(run: () => Promise<PluginResponse>): Promise<object> {
  try {
    const { cacheKeyType, cacheDuration, auth: entries } = await run();
    return {
      response: {
        cacheKeyType,
        cacheDurationNs: cacheDuration === undefined ? null : Number(cacheDuration),
        auth: Object.fromEntries(entries ?? []),
        authIsNil: entries === undefined,
      },
    };
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    return { errorClass: ERROR_CLASSES[error.reason] ?? 'exec' };
  }
}

const ERROR_CLASSES: Readonly<Partial<Record<ProviderError['reason'], string>>> = {
  answerNotJson: 'readGVK',
  wrongVersion: 'apiVersionMismatch',
  answerMalformed: 'decode',
};

const HOW = { missing: undefined, notExecutable: 0o644, noShebang: 0o755 } as const;

/**
 * A plugin that writes down what it was given and does what was recorded. It calls programs by their whole
 * path.
 */
async function install(folder: string, plugin: ExecProtocolVector['plugin']) {
  const binDir = join(folder, 'bin');
  const seenDir = join(folder, 'seen');
  await Promise.all([mkdir(binDir), mkdir(seenDir)]);
  await writeFile(join(folder, 'stdout'), stdoutOf(plugin));
  await writeFile(join(folder, 'stderr'), plugin.stderr ?? '');
  const path = join(binDir, 'ecr-provider');
  const mode = plugin.binary ? HOW[plugin.binary] : 0o755;
  const text = plugin.binary === 'noShebang' ? 'echo not a program\n' : script(folder, seenDir, plugin);
  if (mode !== undefined) await writeFile(path, text, { mode });
  return { binDir, seenDir };
}

function script(folder: string, seenDir: string, plugin: ExecProtocolVector['plugin']): string {
  return [
    '#!/bin/sh',
    `/bin/cat /proc/$$/cmdline > ${seenDir}/cmdline`,
    `/bin/cat /proc/$$/environ > ${seenDir}/environ`,
    `/bin/readlink /proc/$$/cwd > ${seenDir}/cwd`,
    plugin.neverReadsStdin ? '' : `/bin/cat > ${seenDir}/stdin`,
    plugin.shellBeforeOutput ?? '',
    `/bin/cat ${folder}/stderr >&2`,
    `/bin/cat ${folder}/stdout`,
    `exit ${plugin.exitCode ?? 0}`,
  ].join('\n');
}

function stdoutOf({
  stdout = '',
  stdoutBase64,
  spacesAfterFirstByte = 0,
}: ExecProtocolVector['plugin']): Buffer {
  const bytes = stdoutBase64 === undefined ? Buffer.from(stdout) : Buffer.from(stdoutBase64, 'base64');
  return Buffer.concat([bytes.subarray(0, 1), Buffer.alloc(spacesAfterFirstByte, ' '), bytes.subarray(1)]);
}

async function seenIn(seenDir: string) {
  const read = (name: string): Promise<Buffer> => readFile(join(seenDir, name)).catch(() => Buffer.alloc(0));
  const [cmdline, environ, cwd, stdin] = await Promise.all(['cmdline', 'environ', 'cwd', 'stdin'].map(read));
  const parts = (bytes: Buffer | undefined): string[] => (bytes?.toString() ?? '').split('\0').slice(0, -1);
  return {
    // Before its own arguments a script has its interpreter and its path.
    args: parts(cmdline).slice(2),
    environment: parts(environ),
    cwd: cwd?.toString().trimEnd(),
    stdin: stdin ?? Buffer.alloc(0),
  };
}
