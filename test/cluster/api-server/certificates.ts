import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../../scripts/lab/command.ts';

export type Certificate = {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificate: string;
  readonly key: string;
};

/** A certificate authority made for one test server, for its own certificate and its clients'. */
export type Authority = {
  readonly caFile: string;
  readonly ca: string;
  /** For clients: CN is the user, O its groups. For the server: `addresses` become its subjectAltName. */
  issue(subject: {
    readonly user: string;
    readonly groups?: readonly string[];
    readonly addresses?: readonly string[];
  }): Promise<Certificate>;
};

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];

/** Makes a new authority with its files in `folder`. */
export async function createAuthority(folder: string): Promise<Authority> {
  const caFile = join(folder, 'ca.crt');
  const caKeyFile = join(folder, 'ca.key');
  const files = ['-keyout', caKeyFile, '-out', caFile];
  await runCommand('openssl', ['req', '-x509', ...EC_KEY, '-subj', '/CN=kubernetes', ...files]);
  let serial = 0;
  return {
    caFile,
    ca: await readFile(caFile, 'utf8'),
    async issue({ user, groups = [], addresses }) {
      serial += 1;
      const certificateFile = join(folder, `issued-${serial}.crt`);
      const keyFile = join(folder, `issued-${serial}.key`);
      const subject = [...groups.map((group) => `/O=${group}`), `/CN=${user}`].join('');
      await runCommand('openssl', [
        ...['req', '-x509', '-CA', caFile, '-CAkey', caKeyFile, ...EC_KEY, '-subj', subject],
        ...['-addext', 'basicConstraints=critical,CA:FALSE'],
        ...['-addext', `extendedKeyUsage=${addresses ? 'serverAuth' : 'clientAuth'}`],
        ...(addresses ? ['-addext', `subjectAltName=${addresses.map(alternativeName).join(',')}`] : []),
        ...['-keyout', keyFile, '-out', certificateFile],
      ]);
      const [certificate, key] = await Promise.all([
        readFile(certificateFile, 'utf8'),
        readFile(keyFile, 'utf8'),
      ]);
      return { certificateFile, keyFile, certificate, key };
    },
  };
}

function alternativeName(address: string): string {
  return /^[\d.]+$|:/.test(address) ? `IP:${address}` : `DNS:${address}`;
}
