import type { Config } from '../../config/resolve.ts';
import { CommandError } from '../../errors.ts';
import { trimImageName } from '../../image/reference.ts';
import type { ForgetFilter } from '../../records/forget.ts';
import { openRecordStoreForEditing, openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import type { Grant, Grantee } from '../../records/types.ts';
import { formatAge, parseAge } from '../age.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from '../output.ts';

/** As they stand on the command line. */
export type ForgetFlags = {
  readonly image?: string | undefined;
  readonly namespace?: string | undefined;
  /** NAMESPACE/NAME */
  readonly secret?: string | undefined;
  /** Such as 24h. */
  readonly olderThan?: string | undefined;
  readonly dryRun?: boolean | undefined;
};

function columnsAt(now: number): readonly Column<Grant>[] {
  const ago = (at: number | undefined): string => (at === undefined ? '' : formatAge(now - at));
  return [
    { header: 'IMAGE ID', value: ({ imageRef }) => imageRef.replace(/^sha256:/, '').slice(0, 12) },
    { header: 'IMAGE', value: ({ trimmedImage }) => trimmedImage, cut: 'start' },
    { header: 'GRANTED TO', value: ({ grantee }) => nameOf(grantee), cut: 'end' },
    { header: 'VERIFIED', value: ({ verifiedAt }) => ago(verifiedAt) },
    {
      header: 'TIME',
      value: ({ verifiedAt }) => (verifiedAt === undefined ? '' : timeText(verifiedAt)),
      wide: true,
    },
  ];
}

/**
 * `records forget --image | --namespace | --secret | --older-than`: forgets every grant to which all that is
 * given applies, and the standing of the namespace and image; prints what it forgot. With `--dry-run` it only
 * prints what it would forget, which is what would be asked again. `now` in ms since the epoch.
 *
 * @throws RecordStoreError, CommandError
 */
export function forgetGrants(
  config: Pick<Config, 'stateDir'>,
  flags: ForgetFlags,
  { output, print, now }: { readonly output: OutputFormat; readonly print: Print; readonly now: number },
): number {
  const filter = filterOf(flags, now);
  const { store, standing } = flags.dryRun
    ? openRecordStoreReadOnly(config.stateDir)
    : openRecordStoreForEditing(config.stateDir);
  try {
    const { grants } = store.forgetGrants(filter, { dryRun: flags.dryRun ?? false });
    // What is old says nothing about who was granted it, and neither does one secret of several.
    const isAboutStanding = filter.secret === undefined && filter.verifiedBefore === undefined;
    if (!flags.dryRun && isAboutStanding) {
      const { namespace, image } = filter;
      standing.forget({
        ...(namespace !== undefined && { namespace }),
        ...(image !== undefined && { trimmedImage: trimImageName(image) }),
      });
    }
    printOutput(print, output, { data: grants, rows: grants, columns: columnsAt(now), empty: '(nothing)' });
    return 0;
  } finally {
    store.close();
  }
}

function filterOf({ image, namespace, secret, olderThan }: ForgetFlags, now: number): ForgetFilter {
  const filter = {
    ...(image !== undefined && { image }),
    ...(namespace !== undefined && { namespace }),
    ...(secret !== undefined && { secret: secretOf(secret) }),
    ...(olderThan !== undefined && { verifiedBefore: now - ageOf(olderThan) }),
  };
  if (Object.keys(filter).length > 0) return filter;
  throw new CommandError('usage', 'name an image id, or --image, --namespace, --secret or --older-than');
}

function secretOf(text: string): { readonly namespace: string; readonly name: string } {
  const [namespace, name, ...rest] = text.split('/');
  if (namespace && name && rest.length === 0) return { namespace, name };
  throw new CommandError('usage', `--secret is NAMESPACE/NAME, not "${text}"`);
}

function ageOf(text: string): number {
  const age = parseAge(text);
  if (age !== undefined) return age;
  throw new CommandError('usage', `--older-than is a duration such as 24h or 5d, not "${text}"`);
}

function nameOf(grantee: Grantee): string {
  switch (grantee.kind) {
    case 'nodePodsAccessible':
      return 'every pod on the node';
    case 'grantedByRuntime':
      return 'every pod, by the runtime';
    case 'kubernetesSecret':
      return `${grantee.namespace}/${grantee.name}`;
    case 'kubernetesServiceAccount':
      return `serviceaccount ${grantee.namespace}/${grantee.name}`;
  }
}
