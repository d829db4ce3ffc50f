import type { RequestListener } from 'node:http';
import { type Fake, fake, says, wants } from './scene.ts';

export const json = { 'content-type': 'application/json' };
/** A token server's answer. */
export const token = (body: object): RequestListener => says(200, JSON.stringify(body), json);

/** A registry that grants to `Bearer good`, and its token server. */
export async function tokenRegistry(
  tokenServer: RequestListener,
  challenge = 'service="lab",scope="repository:team/app:pull"',
): Promise<{ registry: Fake; tokens: Fake }> {
  const tokens = await fake(tokenServer);
  const bearer = `Bearer realm="http://${tokens.host}/token",${challenge}`;
  return { registry: await fake(wants('Bearer good', bearer)), tokens };
}
