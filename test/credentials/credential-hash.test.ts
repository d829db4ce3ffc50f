import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { credentialHash } from '../../agent/credentials/credential-hash.ts';

/** The expected texts are what Go 1.26's json.Marshal writes for these strings. */
function sha256(json: string | Buffer): string {
  return createHash('sha256').update(json).digest('hex');
}

function hashOfPassword(password: string | Buffer): string {
  return credentialHash({ username: '', password, email: '' });
}

describe("kubelet's credentialHash", () => {
  it('is the SHA-256 of the entry as compact JSON, in the order username, password, email', () => {
    const entry = { email: 'e', password: 'p', username: 'u' };
    expect(credentialHash(entry)).toBe(sha256('{"username":"u","password":"p","email":"e"}'));
  });

  it('leaves out empty fields', () => {
    expect(credentialHash({ username: 'u', password: '', email: '' })).toBe(sha256('{"username":"u"}'));
    expect(credentialHash({ username: '', password: '', email: '' })).toBe(sha256('{}'));
  });

  it.each([
    ['HTML', '<a>&', String.raw`\u003ca\u003e\u0026`],
    ['line separators', '\u2028\u2029', String.raw`\u2028\u2029`],
    ['quotes and backslashes', '"\\/', String.raw`\"\\/`],
    ['short escapes', '\b\f\n\r\t', String.raw`\b\f\n\r\t`],
    ['other control characters', '\u0000\u000b\u001f', String.raw`\u0000\u000b\u001f`],
    ['but not delete and C1', '\u007f\u0085', '\u007f\u0085'],
    ['letters beyond ASCII as they are', 'pässwörd ☃ 😀', 'pässwörd ☃ 😀'],
    ['a U+FFFD as it is', '\ufffd', '\ufffd'],
    ['a lone surrogate, which Go has no way to hold', 'a\ud800', 'a\ufffd'],
  ])('escapes as Go does: %s', (_, password, written) => {
    expect(hashOfPassword(password)).toBe(sha256(`{"password":"${written}"}`));
  });

  it.each([
    ['a stray byte', [0x61, 0xff, 0x3c], String.raw`a\ufffd\u003c`],
    ['a cut sequence, byte by byte', [0xe2, 0x82, 0x61], String.raw`\ufffd\ufffda`],
    ['a surrogate in UTF-8', [0xed, 0xa0, 0x80], String.raw`\ufffd\ufffd\ufffd`],
    ['an overlong form', [0xc0, 0xaf], String.raw`\ufffd\ufffd`],
    ['beyond Unicode', [0xf5, 0x80, 0x80, 0x80], String.raw`\ufffd\ufffd\ufffd\ufffd`],
    ['well-formed four bytes after one', [0xff, 0xf0, 0x9f, 0x98, 0x80], String.raw`\ufffd😀`],
    ['well-formed after all', [0xff, 0xc3, 0xa4], String.raw`\ufffdä`],
  ])('writes an escape for each byte that is not UTF-8: %s', (_, bytes, written) => {
    expect(hashOfPassword(Buffer.from(bytes))).toBe(sha256(`{"password":"${written}"}`));
  });

  it('is the same for text and for its bytes', () => {
    expect(hashOfPassword('pä<ss')).toBe(hashOfPassword(Buffer.from('pä<ss')));
  });
});
