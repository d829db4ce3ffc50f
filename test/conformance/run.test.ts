import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, '../../scripts/conformance/main.ts');
const check = { op: 'check', image: 'busybox:1', imageRef: 'sha256:a1', mustPull: true };
const sequence = {
  name: 'sequence-1',
  policy: 'AlwaysVerify',
  ops: [{ op: 'intent', image: 'busybox:1' }, check],
  finalRecords: null,
  finalIntents: ['busybox:1'],
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pullwarden-vectors-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(files: Readonly<Record<string, unknown>>) {
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), JSON.stringify(content));
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, folder], { encoding: 'utf8' });
  return { status, lines: stdout.trimEnd().split('\n'), stderr };
}

describe('npm run conformance -- DIR', () => {
  it('runs the files that are there and counts', () => {
    const { status, lines } = run({
      'pull-manager.json': [sequence],
      'allowlist.json': [{ pattern: 'reg.example/*', valid: true }],
    });
    expect({ status, last: lines.at(-1) }).toEqual({ status: 0, last: '2 passed, 0 failed' });
  });

  it.each([
    ['pull-manager.json', { ...sequence, ops: [{ ...check, mustPull: false }], finalIntents: [] }, 'op 0'],
    ['pull-manager.json', { ...sequence, finalIntents: [] }, 'finalIntents on disk'],
    ['pull-manager.json', { ...sequence, finalRecords: [{ imageRef: 'a' }] }, 'finalRecords in memory: a'],
    ['keyring.json', { name: 'k', secrets: [], image: 'busybox', error: true }, 'credentials for busybox'],
    ['image-name.json', { image: 'busybox', parseError: true, trimmed: 'busybox' }, 'parsed'],
    ['image-name.json', { image: 'A', parseError: true, trimmed: 'A' }, 'trimmed'],
    ['allowlist.json', { pattern: '*', valid: true }, 'valid'],
    [
      'match-images.json',
      { matchImage: '*.io', configValid: true, images: { 'a.b.io/x': true } },
      'a.b.io/x',
    ],
    [
      'provider-config.json',
      { name: 'p', configPath: 'c', files: [{ path: 'c', content: '{' }], result: 'invalid', errors: [] },
      'outcome',
    ],
    [
      'provider-register.json',
      { name: 'r', providers: ['x'], binDirExists: true, bin: {}, ok: true, registered: 1 },
      'registered',
    ],
    [
      'allowlist.json',
      { pattern: 'a.io/*', valid: true, images: [{ image: 'a.io/x', requiresVerification: true }] },
      'requiresVerification of "a.io/x"',
    ],
  ])('says what was expected of %s and what came out', (file, vector, what) => {
    const { status, lines } = run({ [file]: [vector] });
    expect({ status, last: lines.at(-1) }).toEqual({ status: 1, last: '0 passed, 1 failed' });
    expect(lines[0]).toContain(file);
    const at = lines.findIndex((line) => line.trim().startsWith(what));
    expect(lines[at + 1]).toMatch(/^ +expected /);
    expect(lines[at + 2]).toMatch(/^ +actual /);
  });

  it('finds the files of credential providers in a folder of their own as well', () => {
    mkdirSync(join(folder, 'credential-providers'));
    const { status, lines } = run({
      'credential-providers/match-images.json': [{ matchImage: '*', configValid: true, images: {} }],
    });
    expect({ status, lines }).toEqual({
      status: 0,
      lines: ['credential-providers/match-images.json: 1 of 1 passed', '1 passed, 0 failed'],
    });
  });

  it.each([
    ['an object', { 'keyring.json': {} }],
    ['of something else', { 'keyring.json': [{ name: 1 }] }],
    ['not there', {}],
  ])('has nothing to run where a file is %s', (_, files) => {
    const { status, stderr } = run(files);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^conformance: .*\n$/);
  });
});
