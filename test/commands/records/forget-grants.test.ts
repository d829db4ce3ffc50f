import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ForgetFlags, forgetGrants } from '../../../agent/commands/records/forget-grants.ts';
import { CommandError } from '../../../agent/errors.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { PRIVATE_IMAGE, PUBLIC_IMAGE, stateDirectory } from '../state.ts';

let state: ReturnType<typeof stateDirectory>;
let text: string;

beforeEach(() => {
  state = stateDirectory();
  const { store, standing } = openRecordStore(state);
  const entry = { imageRef: PRIVATE_IMAGE, trimmedImage: 'registry.example/team-a/app', since: 1 } as const;
  for (const namespace of ['team-a', 'team-b']) standing.add({ ...entry, namespace, by: 'granted' });
  store.close();
});
afterEach(() => state.remove());

function forget(flags: ForgetFlags): number {
  text = '';
  return forgetGrants(state, flags, {
    output: 'table',
    print: (part) => {
      text += part;
    },
    now: Date.now(),
  });
}

function known() {
  const { store, standing } = openRecordStore(state);
  const known = {
    grants: [...store.listGrants()].map(({ imageRef }) => imageRef).sort(),
    standing: standing.list().map(({ namespace }) => namespace),
  };
  store.close();
  return known;
}

describe('records forget, by what is meant', () => {
  it('says with --dry-run what it would forget, and forgets nothing', () => {
    expect(forget({ namespace: 'team-a', dryRun: true })).toBe(0);
    expect(text).toMatch(/registry\.example\/team-a\/app +team-a\/registry/);
    expect(known().grants).toEqual([PRIVATE_IMAGE, PUBLIC_IMAGE]);
  });

  it('forgets a namespace with its standing', () => {
    forget({ namespace: 'team-a' });
    expect(known()).toEqual({ grants: [PUBLIC_IMAGE], standing: ['team-b'] });
  });

  it('forgets an image for everybody', () => {
    forget({ image: 'registry.example/team-a/app:2' });
    expect(known()).toEqual({ grants: [PUBLIC_IMAGE], standing: [] });
  });

  it('forgets a secret and what is old, and leaves standing alone', () => {
    forget({ secret: 'team-a/registry' });
    expect(known()).toEqual({ grants: [PUBLIC_IMAGE], standing: ['team-a', 'team-b'] });
    forget({ olderThan: '1h' });
    expect(known()).toEqual({ grants: [], standing: ['team-a', 'team-b'] });
  });

  it.each<ForgetFlags>([{}, { dryRun: true }, { secret: 'registry' }, { olderThan: 'long' }])(
    'refuses %j',
    (flags) => {
      expect(() => forget(flags)).toThrow(CommandError);
      expect(known().grants).toHaveLength(2);
    },
  );
});
