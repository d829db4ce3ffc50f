import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OutputFormat } from '../../../agent/commands/output.ts';
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
    expect(header).toMatch(/^IMAGE ID +IMAGE +GRANTED TO +AGE$/);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^a1a1a1a1a1a1 +registry\.example\/team-a\/app +team-a\/registry +\d+s$/);
    expect(lines[1]).toMatch(/^b2b2b2b2b2b2 +registry\.example\/public +every pod on the node +\d+s$/);
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

describe('records list on a terminal of 80 columns', () => {
  it('fits, and keeps the end of long image names; -o wide has everything, and the time', () => {
    const { store } = openRecordStore({ stateDir: state.stateDir });
    const image = `registry.example/${'a-long-way/'.repeat(8)}app`;
    store.mergeCredentials(`${image}:1`, `sha256:${'c3'.repeat(32)}`, { nodePodsAccessible: true });
    store.close();
    const parts: string[] = [];
    const onTerminal = Object.assign((part: string) => void parts.push(part), {
      terminal: { columns: 80, color: false },
    });
    listRecords(state, { output: 'table', print: onTerminal });
    const lines = parts.join('').split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.find((line) => line.startsWith('c3c3'))).toMatch(/….*\/app /);
    listRecords(state, { output: 'wide', print });
    expect(text).toContain(image);
    expect(text).toMatch(/UPDATED\n.* \d{4}-\d\d-\d\dT/);
  });

  it('says in words that there are none', () => {
    for (const id of [PRIVATE_IMAGE, PUBLIC_IMAGE]) forgetRecord(state, id, { image: undefined, print });
    text = '';
    listRecords(state, { output: 'table', print });
    expect(text).toBe('(no records)\n');
  });
});

describe('records show', () => {
  /** What the runtime has under each name. */
  const NAMES: Readonly<Record<string, string>> = {
    'registry.example/team-a/app:1': PRIVATE_IMAGE,
    'busybox:1': `sha256:${'dd'.repeat(32)}`,
  };
  const show = (image: string, output: OutputFormat = 'json') =>
    showRecord(state, image, async (name) => NAMES[name], { output, print });

  it.each([PRIVATE_IMAGE, PRIVATE_IMAGE.slice(7), 'a1a1a1a1a1a1', 'sha256:a1a1a1', 'a1a1'])(
    'finds %s',
    async (imageRef) => {
      await show(imageRef);
      expect(JSON.parse(text)).toMatchObject({ imageRef: PRIVATE_IMAGE });
    },
  );

  it('finds what the runtime has under a name', async () => {
    await show('registry.example/team-a/app:1');
    expect(JSON.parse(text)).toMatchObject({ imageRef: PRIVATE_IMAGE });
  });

  it('shows no more of a keyed hash than its beginning', async () => {
    await show(PRIVATE_IMAGE, 'yaml');
    expect(text).toContain(`keyedHashPrefix: "${KEYED_HASH.slice(0, 8)}"`);
    expect(text).not.toContain(KEYED_HASH.slice(0, 9));
  });

  it.each([
    ['c3c3c3c3c3c3', /no record of c3c3/],
    ['a1a', /no record of a1a: .* 4 digits at least/],
    ['', /no record of/],
    ['a1a1%', /a1a1% is not on this node/],
    ['team-b/app:1', /team-b\/app:1 is not on this node/],
    ['busybox:1', /no record of busybox:1 \(dddddddddddd\)/],
  ])('does not find %j, and says why', async (image, message) => {
    await expect(show(image, 'table')).rejects.toThrow(message);
    await expect(show(image, 'table')).rejects.toThrow(CommandError);
  });

  it('does not choose between two', async () => {
    const { store } = openRecordStore({ stateDir: state.stateDir });
    const other = `sha256:${'a1'.repeat(31)}ff`;
    store.mergeCredentials('registry.example/other:1', other, { nodePodsAccessible: true });
    store.close();
    await expect(show('a1a1a1a1', 'table')).rejects.toThrow(/2 records begin with/);
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
