import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';

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
    expect(offered('pullwarden', 'completion', '')).toEqual(expect.not.arrayContaining(['list']));
  });
});

/** Neither shell is on every machine that tests; what they make of it was tried by hand. */
describe.each(['zsh', 'fish'])('completion in %s', (shell) => {
  it('names every subcommand', { timeout: 60_000 }, () => {
    const text = completionFor(shell);
    for (const name of ['agent', 'check', 'decisions', 'doctor', 'records', 'version']) {
      expect(text).toContain(name);
    }
  });
});
