import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { unpackedPackage } from '../../scripts/lab/packages.ts';

let script: string;

beforeAll(() => {
  script = completionFor('bash');
});

function completionFor(shell: string): string {
  return execFileSync(process.execPath, ['agent/main.ts', 'completion', shell], { encoding: 'utf8' });
}

/** What bash offers behind these words; the last is the one that is being typed. */
function offered(...words: readonly string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ');
  const program = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _pullwarden; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = execFileSync('bash', ['-c', program], { encoding: 'utf8' });
  return text.split('\n').filter((word) => word !== '');
}

describe('completion in bash', () => {
  it('offers subcommands, and those of a subcommand', () => {
    expect(offered('pullwarden', 'd')).toEqual(['decisions', 'doctor']);
    expect(offered('pullwarden', 'records', '')).toEqual(expect.arrayContaining(['list', 'show', 'export']));
  });

  it('offers the flags of the subcommand, and no hidden ones', () => {
    expect(offered('pullwarden', 'decisions', '--den')).toEqual(['--denied']);
    expect(offered('pullwarden', 'agent', '--pod')).toEqual(['--pods-directory']);
  });

  it('offers the values of a flag that has a closed list', () => {
    expect(offered('pullwarden', 'records', 'list', '-o', '')).toEqual([
      'table',
      'wide',
      'name',
      'json',
      'yaml',
    ]);
    expect(offered('pullwarden', 'completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(offered('pullwarden', 'completion', 'f')).toEqual(['fish']);
  });
});

/** Debian's package, never installed. */
const zsh = join((await unpackedPackage('zsh', ['bookworm'], /^5\./)).root, 'bin/zsh');

describe('completion in zsh', { timeout: 60_000 }, () => {
  it('offers what it offers in bash', () => {
    // As zsh's bashcompinit runs the function of a script for bash; compgen there is a function as well.
    const program = `emulate sh; autoload() { :; }; bashcompinit() { :; }; complete() { :; }
compgen() { printf '%s\\n' "$2"; }
${completionFor('zsh')}
COMP_WORDS=(pullwarden records list -o ''); COMP_CWORD=4; _pullwarden; printf '%s\\n' "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync(zsh, ['-f', '-c', program], { encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: 'table wide name json yaml\n', stderr: '' });
  });
});

/** What fish makes of it was tried by hand. */
describe('completion in fish', () => {
  it('names every subcommand', { timeout: 60_000 }, () => {
    const text = completionFor('fish');
    for (const name of ['agent', 'check', 'decisions', 'doctor', 'records', 'version']) {
      expect(text).toContain(name);
    }
  });
});

describe('completion of kubectl pullwarden, as kubectl asks for it', { timeout: 60_000 }, () => {
  const offeredTo = (...words: readonly string[]): string[] =>
    execFileSync(process.execPath, ['agent/kubectl-complete.ts', ...words], { encoding: 'utf8' })
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t')[0] ?? '');

  it.each([
    [[''], ['report', 'decisions', 'check', 'doctor', ':4']],
    [['re'], ['report', ':4']],
    [
      ['report', '-o', ''],
      ['table', 'json', 'yaml', 'markdown', 'html', ':4'],
    ],
    [
      ['decisions', '--wa'],
      ['--watch', ':4'],
    ],
    [['report', '--kubeconfig', ''], [':0']],
    [['report', '-n', 'team'], [':4']],
  ])('behind %j: %j', (words, expected) => {
    expect(offeredTo(...words)).toEqual(expected);
  });
});
