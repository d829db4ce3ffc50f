import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forgetRecord, listRecords, showRecord } from '../../../agent/commands/records/list-show-forget.ts';
import { CommandError, RecordStoreError } from '../../../agent/errors.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { KEYED_HASH, PRIVATE_IMAGE, PUBLIC_IMAGE, stateDirectory } from '../state.ts';

let state: ReturnType<typeof stateDirectory>;
let text = '';

function print(part: string): void {
  text += part;
}

beforeEach(() => {
  state = stateDirectory();
  text = '';
});

afterEach(() => state.remove());

describe('records list', () => {
  it('says who may use which image, and since when', () => {
    expect(listRecords(state, { output: 'table', print })).toBe(0);
    const [header, ...lines] = text.trimEnd().split('\n');
    expect(header).toMatch(/^IMAGE ID +IMAGE +GRANTED TO +UPDATED$/);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^a1a1a1a1a1a1 +registry\.example\/team-a\/app +team-a\/registry +\d{4}-/);
    expect(lines[1]).toMatch(/^b2b2b2b2b2b2 +registry\.example\/public +every pod on the node +\d{4}-/);
  });

  it('holds nothing of a hash', () => {
    listRecords(state, { output: 'json', print });
    expect(JSON.parse(text)).toMatchObject([
      {
        imageRef: PRIVATE_IMAGE,
        credentialMapping: {
          'registry.example/team-a/app': {
            kubernetesSecrets: [{ namespace: 'team-a', name: 'registry', uid: 'u1' }],
          },
        },
      },
      { imageRef: PUBLIC_IMAGE },
    ]);
    expect(text).not.toContain(KEYED_HASH.slice(0, 8));
  });

  it('refuses a directory without a database', () => {
    expect(() => listRecords({ stateDir: '/nowhere' }, { output: 'table', print })).toThrow(RecordStoreError);
  });
});

describe('records show', () => {
  it.each([PRIVATE_IMAGE, PRIVATE_IMAGE.slice(7), 'a1a1a1a1a1a1', 'sha256:a1a1a1'])(
    'finds %s',
    (imageRef) => {
      showRecord(state, imageRef, { output: 'json', print });
      expect(JSON.parse(text)).toMatchObject({ imageRef: PRIVATE_IMAGE });
    },
  );

  it('shows no more of a keyed hash than its beginning', () => {
    showRecord(state, PRIVATE_IMAGE, { output: 'yaml', print });
    expect(text).toContain(`keyedHashPrefix: "${KEYED_HASH.slice(0, 8)}"`);
    expect(text).not.toContain(KEYED_HASH.slice(0, 9));
  });

  it.each(['c3c3c3c3c3c3', 'a1', '', 'a1a1%'])('does not find %j', (imageRef) => {
    expect(() => showRecord(state, imageRef, { output: 'table', print })).toThrow(CommandError);
  });

  it('does not choose between two', () => {
    const { store } = openRecordStore({ stateDir: state.stateDir });
    const other = `sha256:${'a1'.repeat(31)}ff`;
    store.mergeCredentials('registry.example/other:1', other, { nodePodsAccessible: true });
    store.close();
    expect(() => showRecord(state, 'a1a1a1a1', { output: 'table', print })).toThrow(/2 records begin with/);
  });
});

describe('records forget', () => {
  it('is seen by an agent that runs', () => {
    const { store } = openRecordStore({ stateDir: state.stateDir });
    forgetRecord(state, 'a1a1a1a1a1a1', { image: undefined, print });
    store.refresh();
    expect(store.pulledRecord(PRIVATE_IMAGE)).toBeUndefined();
    expect(store.pulledRecord(PUBLIC_IMAGE)).toBeDefined();
    store.close();
    expect(text).toBe(`forgot ${PRIVATE_IMAGE}\n`);
  });

  it('can be about one name only', () => {
    const about = { image: 'registry.example/other', print };
    expect(() => forgetRecord(state, PRIVATE_IMAGE, about)).toThrow(/nothing is known of .* under the name/);
    forgetRecord(state, PRIVATE_IMAGE, { image: 'registry.example/team-a/app', print });
    expect(text).toContain('as registry.example/team-a/app');
  });

  it('says when there is nothing to forget', () => {
    const unknown = `sha256:${'c3'.repeat(32)}`;
    expect(() => forgetRecord(state, unknown, { image: undefined, print })).toThrow(CommandError);
    expect(text).toBe('');
  });
});
