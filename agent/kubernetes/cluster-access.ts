import type { ExecConfig } from './exec-plugin.ts';

/** Which API server to ask, and as whom. Must never be logged. */
export type ClusterAccess = { readonly cluster: Cluster; readonly user: User };

export type Cluster = {
  /** https only. */
  readonly server: string;
  /** Who vouches for the server; without it the authorities that Node knows. */
  readonly ca?: Pem;
  /** The name in the server's certificate, where it is not the host of `server`. */
  readonly tlsServerName?: string;
};

/** PEM text in a file that may be replaced at any time, or at hand. Paths are absolute. */
export type Pem = { readonly file: string } | { readonly text: Buffer };

export type User = {
  readonly certificate?: Pem;
  readonly key?: Pem;
  /** The bearer token, or the file that holds it and is read again as it rotates. */
  readonly token?: { readonly text: string } | { readonly file: string };
  /** A plugin that says who the user is. */
  readonly exec?: ExecConfig;
  /** Sent as Impersonate-User. */
  readonly impersonated?: string;
};
