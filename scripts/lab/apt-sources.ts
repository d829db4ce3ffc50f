/** One place that apt may fetch from: every combination of a URI and the suites it serves there. */
export interface AptSource {
  uri: string;
  suites: string[];
  components: string[];
  /** Key ring files that the entry names; an embedded key is left out. */
  signedBy: string[];
}

function keyringPaths(value: string): string[] {
  return value.split(/[\s,]+/).filter((word) => word.startsWith('/'));
}

function words(value: string | undefined): string[] {
  return (value ?? '').split(/\s+/).filter((word) => word !== '');
}

/**
 * Parses a one-line style file (`sources.list`, `*.list`); lines that are no `deb` entries are passed over.
 */
export function parseListFile(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1] ?? '';
    sources.push({ uri, suites: [suite], components: words(components), signedBy: keyringPaths(signedBy) });
  }
  return sources;
}

function stanzaFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current = '';
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue;
    const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (match !== null) {
      current = (match[1] ?? '').toLowerCase();
      fields.set(current, match[2] ?? '');
    } else if (/^\s/.test(line) && current !== '') {
      fields.set(current, `${fields.get(current) ?? ''} ${line.trim()}`);
    }
  }
  return fields;
}

/** Parses a deb822 style file (`*.sources`); disabled and source-only stanzas are passed over. */
export function parseSourcesFile(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.split(/\n[ \t]*\n/)) {
    const fields = stanzaFields(stanza);
    if (!words(fields.get('types')).includes('deb')) continue;
    if (/^(no|false|0|off|without|disable)$/i.test((fields.get('enabled') ?? 'yes').trim())) continue;
    for (const uri of words(fields.get('uris'))) {
      sources.push({
        uri,
        suites: words(fields.get('suites')),
        components: words(fields.get('components')),
        signedBy: keyringPaths(fields.get('signed-by') ?? ''),
      });
    }
  }
  return sources;
}

/** The first source that serves this suite's `main` over something that can also serve other suites. */
export function mirrorFor(sources: AptSource[], suite: string): AptSource | undefined {
  return sources.find(
    (source) =>
      source.suites.includes(suite) && source.components.includes('main') && !/^cdrom:/i.test(source.uri),
  );
}
