import { RecordStoreError } from '../../errors.ts';
import { readSavedRuntimeRegistries } from '../../records/saved-runtime-registries.ts';
import { openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import { type Finding, ok, warning } from './finding.ts';

const CHECK = 'registries';
/** Named before the rest is counted; tenants choose what registries there are. */
const MAX_NAMED = 10;

/** Registries for which the agent has to take the runtime's word, as the agent that runs has saved it. */
export function checkRegistries(stateDir: string): Finding[] {
  const { onlyReached, granted } = savedRuntimeRegistries(stateDir) ?? { onlyReached: [], granted: [] };
  const findings: Finding[] = [];
  if (onlyReached.length > 0) {
    findings.push(
      warning(
        CHECK,
        `only the runtime reaches ${named(onlyReached)}: there its text decides`,
        'let the agent reach them (egress, HTTPS_PROXY, --registry-config-dir, --authoritative-mirrors)',
      ),
    );
  }
  if (granted.length > 0) {
    findings.push(
      warning(
        CHECK,
        `granted to the runtime itself, by a mirror or its own credentials: images of ${named(granted)}`,
        'see whether everybody on the node may have them; if not, --runtime-grants deny',
      ),
    );
  }
  return findings.length > 0 ? findings : [ok(CHECK, 'none whose word is only heard through the runtime')];
}

function savedRuntimeRegistries(stateDir: string) {
  try {
    const { store, savedState } = openRecordStoreReadOnly(stateDir);
    try {
      return readSavedRuntimeRegistries(savedState);
    } finally {
      store.close();
    }
  } catch (error) {
    // That there are no records, or damaged ones, is another check's to say.
    if (error instanceof RecordStoreError) return undefined;
    throw error;
  }
}

function named(registries: readonly string[]): string {
  const more = registries.length - MAX_NAMED;
  const first = registries.slice(0, MAX_NAMED).join(', ');
  return more > 0 ? `${first} and ${more} more` : first;
}
