/**
 * Image names as kubelet reads them. It has two parsers that differ on purpose: pkg/util/parsers normalizes
 * (default registry, `library/`, `latest`), the image pull manager's only cuts tag and digest. Both stand on
 * the grammar of github.com/distribution/reference.
 */

import { ImageNameError } from '../errors.ts';

export type ImageName = {
  /** Normalized: `docker.io/library/busybox`. */
  readonly repository: string;
  /** `latest` when the text has neither tag nor digest, empty when it has only a digest. */
  readonly tag: string;
  /** `sha256:<hex>`, or empty. */
  readonly digest: string;
};

type Parts = {
  readonly domain: string;
  readonly path: string;
  readonly tag: string;
  readonly digest: string;
};

/** Ours: no name that a registry could serve comes near, and it bounds what a hostile one costs. */
const MAX_TEXT = 4_096;
/** distribution/reference RepositoryNameTotalLengthMax; it leaves out the registry. */
const MAX_PATH = 255;

/** As distribution/reference: a host name or an IPv6 address in brackets, and perhaps a port. */
const DOMAIN_COMPONENT = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_COMPONENT}(?:\\.${DOMAIN_COMPONENT})*|\\[[A-Fa-f0-9:]+\\])(?::[0-9]+)?$`,
);
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})$/;

const DEFAULT_DOMAIN = 'docker.io';

/**
 * The normalizing parser (pkg/util/parsers ParseImageName over reference.ParseNormalizedNamed).
 *
 * @throws ImageNameError
 */
export function parseImageName(text: string): ImageName {
  if (text.length > MAX_TEXT) throw notAnImageName('tooLong', text);
  if (/^[a-f0-9]{64}$/.test(text)) throw notAnImageName('imageId', text);
  const { domain, rest } = splitDomain(text);
  const colon = rest.indexOf(':');
  const remote = colon === -1 ? rest : rest.slice(0, colon);
  if (remote.toLowerCase() !== remote) throw notAnImageName('notLowercase', text);
  const parts = parseReference(`${domain}/${rest}`, text);
  return {
    repository: nameOf(parts),
    tag: parts.tag === '' && parts.digest === '' ? 'latest' : parts.tag,
    digest: parts.digest,
  };
}

/**
 * The parser that only cuts tag and digest and normalizes nothing (pullmanager's trimImageTagDigest over
 * reference.Parse).
 *
 * @throws ImageNameError
 */
export function trimImageName(text: string): string {
  if (text.length > MAX_TEXT) throw notAnImageName('tooLong', text);
  return nameOf(parseReference(text, text));
}

/** A text that parses to the same again. */
export function formatReference({ repository, tag, digest }: ImageName): string {
  return `${repository}${tag === '' ? '' : `:${tag}`}${digest === '' ? '' : `@${digest}`}`;
}

/** `repository@digest`: the one content, whatever a tag means by now. */
export function digestReference(repository: string, digest: string): string {
  return `${repository}@${digest}`;
}

/**
 * The normalized repository of one of the runtime's RepoTags or RepoDigests; undefined for `<none>` and the
 * like.
 */
export function repositoryOf(name: string): string | undefined {
  try {
    return parseImageName(name).repository;
  } catch (error) {
    if (error instanceof ImageNameError) return undefined;
    throw error;
  }
}

/**
 * The host of a normalized repository's registry: `docker.io`, `registry.example:5000`. Empty of an empty
 * one.
 */
export function hostOf(repository: string): string {
  return repository.slice(0, Math.max(0, repository.indexOf('/')));
}

/**
 * What stands before the first slash is a registry only if it looks like one (reference's
 * splitDockerDomain).
 */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf('/');
  if (slash === -1) return { domain: DEFAULT_DOMAIN, rest: `library/${text}` };
  const first = text.slice(0, slash);
  let domain = DEFAULT_DOMAIN;
  let rest = text;
  if (first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first) {
    domain = first === 'index.docker.io' ? DEFAULT_DOMAIN : first;
    rest = text.slice(slash + 1);
  }
  if (domain === DEFAULT_DOMAIN && !rest.includes('/')) rest = `library/${rest}`;
  return { domain, rest };
}

/** The grammar of distribution/reference: `[domain/]path[:tag][@digest]`. `shown` is what an error names. */
function parseReference(text: string, shown: string): Parts {
  if (text === '') throw notAnImageName('empty', shown);
  const at = text.indexOf('@');
  const digest = at === -1 ? '' : text.slice(at + 1);
  const tagged = at === -1 ? text : text.slice(0, at);
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1);
  const tag = colon === -1 ? '' : tagged.slice(colon + 1);
  const name = colon === -1 ? tagged : tagged.slice(0, colon);
  const wellFormed = (at === -1 || DIGEST.test(digest)) && (colon === -1 || TAG.test(tag));
  const split = wellFormed ? splitName(name) : undefined;
  if (split === undefined) throw notAnImageName('invalidFormat', shown);
  if (split.path.length > MAX_PATH) throw notAnImageName('tooLong', shown);
  return { ...split, tag, digest };
}

function splitName(name: string): { domain: string; path: string } | undefined {
  const components = name.split('/');
  const [first = '', ...others] = components;
  if (!others.every((component) => PATH_COMPONENT.test(component))) return undefined;
  if (others.length > 0 && DOMAIN.test(first)) return { domain: first, path: others.join('/') };
  return PATH_COMPONENT.test(first) ? { domain: '', path: name } : undefined;
}

function nameOf({ domain, path }: Parts): string {
  return domain === '' ? path : `${domain}/${path}`;
}

const WHY: Readonly<Record<ImageNameError['reason'], string>> = {
  empty: 'it is empty',
  tooLong: 'it is too long',
  invalidFormat: 'invalid reference format',
  notLowercase: 'the repository must be lowercase',
  imageId: 'it is an image id',
};

function notAnImageName(reason: ImageNameError['reason'], text: string): ImageNameError {
  return new ImageNameError(
    reason,
    `${JSON.stringify(text.slice(0, 200))} is not an image name: ${WHY[reason]}`,
  );
}
