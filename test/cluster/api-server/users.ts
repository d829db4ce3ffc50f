import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

export type UserInfo = { readonly name: string; readonly groups: readonly string[] };

export type Users = {
  /** Undefined: the credentials are refused (401); without any it is system:anonymous. */
  authenticate(request: IncomingMessage): UserInfo | undefined;
  /** A new bearer token for this user. */
  issueToken(user: string): string;
  revokeToken(token: string): void;
  /** Whatever this user shows is answered 401, until it is accepted again. */
  refuse(user: string): void;
  accept(user: string): void;
};

const ANONYMOUS: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

export function createUsers(): Users {
  const tokens = new Map<string, string>();
  const refused = new Set<string>();

  function fromCertificate(request: IncomingMessage): UserInfo | 'none' | 'bad' {
    if (!(request.socket instanceof TLSSocket)) return 'none';
    const { subject } = request.socket.getPeerCertificate();
    if (subject === undefined) return 'none';
    if (!request.socket.authorized) return 'bad';
    const groups = [subject.O ?? []].flat();
    return { name: String(subject.CN), groups };
  }

  function claimed(request: IncomingMessage): UserInfo | undefined {
    const certified = fromCertificate(request);
    if (typeof certified === 'object') return certified;
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return certified === 'bad' ? undefined : ANONYMOUS;
    const name = tokens.get(token);
    return name === undefined ? undefined : { name, groups: [] };
  }

  return {
    authenticate(request) {
      const user = claimed(request);
      return user && refused.has(user.name) ? undefined : user;
    },
    issueToken(user) {
      const token = `token-${randomBytes(24).toString('base64url')}`;
      tokens.set(token, user);
      return token;
    },
    revokeToken: (token) => void tokens.delete(token),
    refuse: (user) => void refused.add(user),
    accept: (user) => void refused.delete(user),
  };
}
