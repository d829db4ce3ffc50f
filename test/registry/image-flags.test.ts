import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'rolldown';
import { expect, it } from 'vitest';
import { programOfImage } from '../../scripts/story/program-of-image.ts';
import { byDigest, fake, grants, hostsFolder, plainHttp, temporaryFolder } from './scene.ts';

const source = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));

/** Node's flags in the image take things away: `--jitless` WebAssembly, and with it `fetch` and undici. */
it('a registry is asked as the image runs the agent', { timeout: 60_000 }, async () => {
  const { host, heard } = await fake(grants);
  const configuration = {
    runtime: 'containerd',
    folders: [await hostsFolder(plainHttp(host))],
    authoritativeMirrors: [],
  };
  const folder = await temporaryFolder();
  await writeFile(
    join(folder, 'ask.ts'),
    `import { createRegistryClient } from ${source('../../agent/registry/client.ts')};
     import { createEndpoints } from ${source('../../agent/registry/endpoint/endpoints.ts')};
     const endpoints = createEndpoints(${JSON.stringify(configuration)});
     const client = createRegistryClient({ endpoints, environment: {} });
     const { answer } = await client.manifest(${JSON.stringify(byDigest(host))});
     process.stdout.write(answer);
     await client.close();`,
  );
  const program = join(folder, 'ask.mjs');
  await build({ input: join(folder, 'ask.ts'), platform: 'node', output: { file: program, format: 'esm' } });
  const flags = programOfImage().filter((argument) => argument.startsWith('--'));
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program]);
  expect([stdout, heard.length]).toEqual(['granted', 1]);
});
