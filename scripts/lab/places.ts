import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where unpacked packages and compiled programs are kept between runs. */
export const cacheFolder = resolve(import.meta.dirname, '../../.cache/lab');

/** Every node's folder is `<tmpdir>/pullwarden-node-XXXXXX`. */
export const nodeFolderPrefix = join(tmpdir(), 'pullwarden-node-');
