import { describe, expect, it } from 'vitest';
import { mirrorFor, parseListFile, parseSourcesFile } from '../../scripts/lab/apt-sources.ts';

const deb822 = `Types: deb
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
`;

const oneLine = `# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb [arch=amd64 signed-by=/a.gpg,/b.gpg] https://mirror.example/debian/ bookworm main contrib # comment
deb http://security.example bookworm-security main
`;

describe('apt sources', () => {
  it('finds the mirror in a deb822 file', () => {
    const sources = parseSourcesFile(deb822);
    expect(sources).toHaveLength(2);
    expect(mirrorFor(sources, 'bookworm')).toEqual({
      uri: 'http://mirror.example/debian',
      suites: ['bookworm', 'bookworm-updates'],
      components: ['main'],
      signedBy: ['/usr/share/keyrings/debian-archive-keyring.gpg'],
    });
  });

  it('finds the mirror in a one-line file', () => {
    expect(mirrorFor(parseListFile(oneLine), 'bookworm')).toEqual({
      uri: 'https://mirror.example/debian/',
      suites: ['bookworm'],
      components: ['main', 'contrib'],
      signedBy: ['/a.gpg', '/b.gpg'],
    });
  });

  it('reads every URI of a stanza and passes over embedded keys', () => {
    const stanza = `Types: deb deb-src
URIs: http://a.example/debian
  http://b.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
`;
    expect(parseSourcesFile(stanza).map(({ uri }) => uri)).toEqual([
      'http://a.example/debian',
      'http://b.example/debian',
    ]);
    expect(parseSourcesFile(stanza)[0]?.signedBy).toEqual([]);
  });

  it('says when no source serves the suite', () => {
    expect(mirrorFor(parseSourcesFile(deb822), 'trixie')).toBeUndefined();
    expect(mirrorFor([], 'bookworm')).toBeUndefined();
  });
});
