import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createRegistryClient } from '../../agent/registry/client.ts';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import { certificateFor } from './certificates.ts';
import {
  basicOfAlice,
  byDigest,
  clientFor,
  type Fake,
  fake,
  fakeTcp,
  grants,
  login,
  plainHttp,
  redirects,
  refuses,
  says,
  shortLimits,
  temporaryFolder,
  unavailable,
  wants,
} from './scene.ts';

const here = ['IP:127.0.0.1'];

async function secured(
  listener: RequestListener,
  names = here,
): Promise<Fake & { folder: string; ca: string; certificate: string; key: string }> {
  const folder = await temporaryFolder();
  const { certificate, key, certificateFile: ca } = await certificateFor(folder, 'registry', names);
  return { ...(await fake(listener, { tls: { cert: certificate, key } })), folder, ca, certificate, key };
}

const https = (host: string, more: string): Record<string, string> => ({
  [host]: `server = "https://${host}"\n${more}\n`,
});

describe('TLS as hosts.toml says', () => {
  it('trusts the authority that it names', async () => {
    const { host, ca } = await secured(grants);
    const client = await clientFor(https(host, `ca = "${ca}"`));
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'granted' });
  });

  it('trusts nobody else', async () => {
    const { host, heard } = await secured(grants);
    const other = await certificateFor(await temporaryFolder(), 'other', here);
    expect(await (await clientFor(https(host, ''))).manifest(byDigest(host))).toMatchObject(
      unavailable('certificate'),
    );
    const wrong = await clientFor(https(host, `ca = ["${other.certificateFile}"]`));
    expect(await wrong.manifest(byDigest(host))).toMatchObject(unavailable('certificate'));
    expect(heard).toEqual([]);
  });

  it('does not take a certificate for another name', async () => {
    const { host, ca } = await secured(grants, ['DNS:elsewhere.test']);
    const client = await clientFor(https(host, `ca = "${ca}"`));
    expect(await client.manifest(byDigest(host))).toMatchObject(unavailable('certificate'));
  });

  it('does not look where it is told not to', async () => {
    const { host } = await secured(grants);
    const client = await clientFor(https(host, 'skip_verify = true'));
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'granted' });
  });

  it('takes the settings of a [host] table with the same URL', async () => {
    const { host, ca } = await secured(grants);
    const client = await clientFor(https(host, `[host."https://${host}"]\n  ca = ["${ca}"]`));
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'granted' });
  });

  it('shows a client certificate to the registry, and to nobody else', async () => {
    const folder = await temporaryFolder();
    const server = await certificateFor(folder, 'server', here);
    const client = await certificateFor(folder, 'client', ['DNS:node.test']);
    const shown: unknown[] = [];
    const peek: RequestListener = (request, response) => {
      const { socket } = request;
      shown.push(
        'getPeerCertificate' in socket && typeof socket.getPeerCertificate === 'function'
          ? socket.getPeerCertificate().subject?.CN
          : undefined,
      );
      grants(request, response);
    };
    const tls = { cert: server.certificate, key: server.key, requestCert: true, ca: client.certificate };
    const store = await fake(peek, { tls: { ...tls, rejectUnauthorized: false } });
    const registry = await fake(redirects(307, `https://${store.host}/`), { tls });
    const settings = `ca = "${server.certificateFile}"`;
    const without = await clientFor(https(registry.host, settings));
    expect(await without.manifest(byDigest(registry.host))).toMatchObject({ answer: 'unavailable' });
    expect(registry.heard).toEqual([]);
    const pair = `client = [["${client.certificateFile}", "${client.keyFile}"]]`;
    const withPair = await clientFor(https(registry.host, `${settings}\n${pair}`));
    expect(await withPair.manifest(byDigest(registry.host))).toMatchObject({ answer: 'granted' });
    expect(registry.heard).toHaveLength(1);
    expect(shown).toEqual([undefined]);
  });

  it('takes certificate and key from one file, and paths from the folder of hosts.toml', async () => {
    const folder = await temporaryFolder();
    const server = await certificateFor(folder, 'server', here);
    const own = await certificateFor(folder, 'client', ['DNS:node.test']);
    const { host } = await fake(grants, {
      tls: { cert: server.certificate, key: server.key, requestCert: true, ca: own.certificate },
    });
    const place = join(folder, 'certs.d', host);
    await mkdir(place, { recursive: true });
    await writeFile(join(place, 'both.pem'), own.certificate + own.key);
    await copyFile(server.certificateFile, join(place, 'ca.pem'));
    await writeFile(
      join(place, 'hosts.toml'),
      `server = "https://${host}"\nca = "ca.pem"\nclient = "both.pem"\n`,
    );
    const configuration = {
      runtime: 'containerd' as const,
      folders: [join(folder, 'certs.d')],
      authoritativeMirrors: [],
    };
    const client = createRegistryClient({ endpoints: createEndpoints(configuration), environment: {} });
    onTestFinished(() => client.close());
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'granted' });
  });

  it('is a trouble of the configuration where a file is missing or no certificate', async () => {
    const { host, heard, folder } = await secured(grants);
    await writeFile(join(folder, 'bad.crt'), 'no certificate');
    await writeFile(join(folder, 'bad.key'), 'no key');
    for (const settings of [
      'ca = "/nowhere/ca.crt"',
      `client = [["${folder}/registry.crt", "${folder}/bad.key"]]`,
      `client = "${folder}/bad.crt"`,
    ]) {
      const client = await clientFor(https(host, settings));
      expect(await client.manifest(byDigest(host))).toMatchObject(unavailable('configuration'));
    }
    expect(heard).toEqual([]);
  });
});

describe('between TLS and plain HTTP', () => {
  it('a registry that speaks no TLS is asked over plain HTTP only where the configuration says so', async () => {
    const { host, heard } = await fake(wants(basicOfAlice, 'Basic'));
    const client = await clientFor(https(host, ''));
    expect(await client.manifest(byDigest(host, { login: login() }))).toMatchObject(unavailable('tls'));
    expect(heard).toEqual([]);
    const plain = await clientFor(plainHttp(host));
    expect(await plain.manifest(byDigest(host, { login: login() }))).toMatchObject({ answer: 'granted' });
  });

  it('one on this machine that is not configured is asked by TLS first, as containerd does', async () => {
    const plain = await fake(grants);
    const { host } = await secured(grants);
    const client = await clientFor({});
    expect(await client.manifest(byDigest(host))).toMatchObject({
      answer: 'granted',
      spent: { requests: 1 },
    });
    expect(await client.manifest(byDigest(plain.host))).toMatchObject({
      answer: 'granted',
      spent: { requests: 2 },
    });
    // By now it is known.
    expect(await client.manifest(byDigest(plain.host))).toMatchObject({
      answer: 'granted',
      spent: { requests: 1 },
    });
  });

  it('a certificate that is not trusted leads to no plain HTTP', async () => {
    const { host, heard, folder } = await secured(grants);
    const other = await certificateFor(folder, 'other', here);
    const client = await clientFor({
      [host]: `server = "http://${host}"\nca = "${other.certificateFile}"\n`,
    });
    expect(await client.manifest(byDigest(host))).toMatchObject(unavailable('certificate'));
    expect(heard).toEqual([]);
  });

  it('a registry that speaks TLS where plain HTTP is configured', async () => {
    const { host } = await secured(grants);
    const client = await clientFor(plainHttp(host), { limits: shortLimits });
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'unavailable' });
  });

  it('a redirect leads from TLS to no plain HTTP', async () => {
    const store = await fake(grants);
    const { host, ca } = await secured(redirects(307, `http://${store.host}/`));
    const client = await clientFor(https(host, `ca = "${ca}"`));
    expect(await client.manifest(byDigest(host))).toMatchObject(unavailable('redirect'));
    expect(store.heard).toEqual([]);
  });

  it('a realm gets the login over plain HTTP only where the configuration allows for its host', async () => {
    const tokens = await fake(says(200, '{"token":"good"}'));
    const challenge = `Bearer realm="http://${tokens.host}/",service="lab"`;
    const { host, ca } = await secured(wants('Bearer good', challenge));
    const strict = { [tokens.host]: `server = "https://${tokens.host}"\n` };
    const refused = await clientFor({ ...https(host, `ca = "${ca}"`), ...strict });
    expect(await refused.manifest(byDigest(host, { login: login() }))).toMatchObject(
      unavailable('plainHttp'),
    );
    expect(tokens.heard).toEqual([]);
    const allowed = await clientFor({ ...https(host, `ca = "${ca}"`), ...plainHttp(tokens.host) });
    expect(await allowed.manifest(byDigest(host, { login: login() }))).toMatchObject({ answer: 'granted' });
  });

  it('a realm is trusted by the same authorities as the registry', async () => {
    const folder = await temporaryFolder();
    const { certificate, key, certificateFile } = await certificateFor(folder, 'both', here);
    const tls = { cert: certificate, key };
    const tokens = await fake(says(200, '{"token":"good"}'), { tls });
    const registry = await fake(wants('Bearer good', `Bearer realm="https://${tokens.host}/"`), { tls });
    const client = await clientFor(https(registry.host, `ca = "${certificateFile}"`));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
    });
  });

  it.each<[string, (send: (bytes: string) => void, end: () => void) => void, string]>([
    ['nothing', () => {}, 'timeout'],
    ['noise', (send) => send('what?'), 'tls'],
    ['an end', (_, end) => end(), 'tls'],
  ])('a handshake that is answered by %s', async (_, answer, seen) => {
    const host = await fakeTcp((socket) => {
      socket.once('data', () =>
        answer(
          (bytes) => socket.write(bytes),
          () => socket.end(),
        ),
      );
    });
    const client = await clientFor(https(host, ''), { limits: { ...shortLimits, connectMs: 500 } });
    expect(await client.manifest(byDigest(host))).toMatchObject(unavailable(seen));
  });

  it('what refuses over TLS refuses', async () => {
    const { host, ca } = await secured(refuses(403, 'DENIED'));
    const client = await clientFor(https(host, `ca = "${ca}"`));
    expect(await client.manifest(byDigest(host))).toMatchObject({ answer: 'forbidden' });
  });
});
