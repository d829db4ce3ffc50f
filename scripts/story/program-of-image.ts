import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const repository = fileURLToPath(new URL('../../', import.meta.url));

/** `npm run build`. @throws Error with what the build said */
export function buildAgent(): void {
  execFileSync(process.execPath, [join(repository, 'scripts/build.ts')], { stdio: 'pipe' });
}

/** Node's flags and the agent's entry point, as the image has them. */
export function programOfImage(): readonly string[] {
  const text = /^ENTRYPOINT (.*)$/m.exec(readFileSync(join(repository, 'Dockerfile'), 'utf8'))?.[1] ?? '[]';
  const [, ...args] = z.array(z.string()).parse(JSON.parse(text));
  return args.map((arg) => arg.replace(/^\/opt\/pullwarden\//, repository));
}
