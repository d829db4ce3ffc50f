import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../scripts/lab/command.ts';

export type Certificate = { certificateFile: string; keyFile: string; certificate: string; key: string };

/**
 * A self-signed certificate for these names (`IP:127.0.0.1`, `DNS:registry.test`), good for servers and
 * clients.
 */
export async function certificateFor(folder: string, name: string, names: string[]): Promise<Certificate> {
  const certificateFile = join(folder, `${name}.crt`);
  const keyFile = join(folder, `${name}.key`);
  await runCommand('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${names.join(',')}`],
    ...['-keyout', keyFile, '-out', certificateFile],
  ]);
  const [certificate, key] = [await readFile(certificateFile, 'utf8'), await readFile(keyFile, 'utf8')];
  return { certificateFile, keyFile, certificate, key };
}
