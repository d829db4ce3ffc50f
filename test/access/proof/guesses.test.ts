import { beforeEach, describe, expect, it } from 'vitest';
import { createGuesses, type Guesses } from '../../../agent/access/proof/guesses.ts';

describe('passwords that a tenant guesses', () => {
  let guesses: Guesses;
  let now = 0;
  const refuse = (count: number, from = 0) => {
    for (let n = from; n < from + count; n += 1) guesses.refused('team-a', 'reg.example', `key ${n}`);
  };
  const waitOf = (key: string, namespace = 'team-a', registry = 'reg.example') =>
    guesses.waitMs(namespace, registry, key);

  beforeEach(() => {
    now = 0;
    guesses = createGuesses(() => now);
  });

  it('nine different ones are free, after the tenth the next one waits 5 s', () => {
    refuse(9);
    expect(waitOf('new')).toBe(0);
    refuse(1, 9);
    expect(waitOf('new')).toBe(5_000);
    now = 4_999;
    expect(waitOf('new')).toBe(1);
    now = 5_000;
    expect(waitOf('new')).toBe(0);
  });

  it('each further one doubles the wait, up to five minutes', () => {
    refuse(11);
    expect(waitOf('new')).toBe(10_000);
    refuse(1, 11);
    expect(waitOf('new')).toBe(20_000);
    refuse(50, 12);
    expect(waitOf('new')).toBe(300_000);
  });

  it('one that was refused before counts once, and waits for its own backoff alone', () => {
    refuse(10);
    guesses.refused('team-a', 'reg.example', 'key 3');
    expect(waitOf('new')).toBe(5_000);
    expect(waitOf('key 3')).toBe(0);
  });

  it('make neither another tenant wait nor the same one at another registry', () => {
    refuse(20);
    expect(waitOf('new', 'team-b')).toBe(0);
    expect(waitOf('new', 'team-a', 'other.example')).toBe(0);
  });
});
