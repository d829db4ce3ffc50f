/** PEM texts, and whether the server's certificate is looked at at all. */
export type TlsSettings = {
  /** Trusted in addition to the system's. */
  readonly ca: readonly string[];
  readonly client: readonly { readonly certificate: string; readonly key: string }[];
  readonly skipVerify: boolean;
};

/** Where a repository is asked for. */
export type Endpoint = {
  /** Root of the API without a slash at the end: `https://registry.example/v2`. */
  readonly base: URL;
  /** The repository's name there: the image's own, or as registries.conf rewrites it. */
  readonly repository: string;
  /** containerd's `ns` parameter: the registry in the image's name, where the host is another one. */
  readonly namespace: string | undefined;
  /** Sent to the endpoint's own host alone. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly tls: TlsSettings;
  /** Plain HTTP that the runtime turns to only where the endpoint before it speaks no TLS. */
  readonly fallback: boolean;
};

/** Why the runtime's configuration says nothing about where a registry is. */
export type ConfigurationProblem =
  | 'unreadable'
  | 'notToml'
  | 'wrongType'
  | 'invalidServer'
  | 'invalidPrefix'
  | 'rewriteNotSupported'
  | 'version1'
  | 'tooLarge'
  /** The runtime itself pulls nothing from there, or only from mirrors. */
  | 'blocked'
  | 'noServer';

/**
 * A file of the runtime's configuration that cannot be used. The message names place and reason, no content.
 */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly problem: ConfigurationProblem;
  readonly file: string;

  constructor(problem: ConfigurationProblem, file: string, options?: ErrorOptions) {
    super(`${file}: ${problem}`, options);
    this.problem = problem;
    this.file = file;
  }
}

export const plainTls: TlsSettings = { ca: [], client: [], skipVerify: false };

/** Docker Hub's API is not where its images' names say. */
export function registryHost(registry: string): string {
  return registry === 'docker.io' || registry === 'index.docker.io' ? 'registry-1.docker.io' : registry;
}
