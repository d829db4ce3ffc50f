import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { loadProviderConfig } from '../../../agent/credentials/providers/config-files.ts';
import type { Provider } from '../../../agent/credentials/validate-provider-config.ts';
import { ProviderConfigError } from '../../../agent/errors.ts';
import type { Vector } from '../vector.ts';
import { compare, sortedByJson } from './compare.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

const vector = z.object({
  name: z.string(),
  configPath: z.string(),
  files: z.array(z.object({ path: z.string(), content: z.string().optional() })),
  serviceAccountTokenGateOff: z.boolean().optional(),
  result: z.enum(['accepted', 'invalid', 'readError']),
  hash: z.string().optional(),
  providers: z.array(z.unknown()).optional(),
  errors: z.array(z.object({ field: z.string(), type: z.string() })).optional(),
  errorClass: z.string().optional(),
});

type ProviderConfigVector = z.infer<typeof vector>;
type Outcome = Pick<ProviderConfigVector, 'result' | 'hash' | 'providers' | 'errors' | 'errorClass'>;

/** provider-config.json: what kubelet makes of a configuration file or folder. @throws ZodError. */
export function providerConfigVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: recorded.name,
      differences: async () => compare('outcome', expectedOf(recorded), await outcomeOf(recorded)),
    }));
}

function expectedOf({ result, hash, providers, errors, errorClass }: ProviderConfigVector): Outcome {
  switch (result) {
    case 'accepted':
      return { result, hash, providers };
    case 'invalid':
      return { result, errors: [...sortedByJson(errors ?? [])] as Outcome['errors'] };
    case 'readError':
      return { result, errorClass };
  }
}

function outcomeOf({
  configPath,
  files,
  serviceAccountTokenGateOff,
}: ProviderConfigVector): Promise<unknown> {
  return inTemporaryFolder(async (folder) => {
    for (const { path, content } of files) {
      const isFolder = path.endsWith('/');
      await mkdir(isFolder ? join(folder, path) : dirname(join(folder, path)), { recursive: true });
      if (!isFolder) await writeFile(join(folder, path), content ?? '');
    }
    const path = configPath === '' ? '' : join(folder, configPath);
    try {
      const { providers, hash } = await loadProviderConfig(path, {
        serviceAccountTokens: !serviceAccountTokenGateOff,
      });
      return { result: 'accepted', hash, providers: providers.map(normalized) };
    } catch (error) {
      if (error instanceof ProviderConfigError) return failure(error);
      throw error;
    }
  });
}

function normalized({ defaultCacheDuration, ...provider }: Provider): object {
  return { ...provider, defaultCacheDurationNs: Number(defaultCacheDuration) };
}

function failure({ reason, faults }: ProviderConfigError): object {
  if (reason !== 'invalid') return { result: 'readError', errorClass: ERROR_CLASSES[reason] };
  const errors = faults.map(({ field, type }) => ({
    field,
    type: `FieldValue${type.slice(0, 1).toUpperCase()}${type.slice(1)}`,
  }));
  return { result: 'invalid', errors: sortedByJson(errors) };
}

const ERROR_CLASSES: Readonly<Record<Exclude<ProviderConfigError['reason'], 'invalid'>, string>> = {
  pathEmpty: 'emptyPath',
  unreadable: 'inaccessible',
  noFiles: 'noFiles',
  tooLarge: 'bounded here only',
  malformed: 'decode',
  duplicateName: 'duplicateName',
};
