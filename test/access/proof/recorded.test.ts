import { describe, expect, it } from 'vitest';
import type { Answer } from '../../../agent/access/proof/question.ts';
import { recorded } from '../../../agent/access/proof/recorded.ts';
import { createRuntimeGrants } from '../../../agent/access/runtime-grants.ts';
import { RecordStoreError } from '../../../agent/errors.ts';
import { answering, granted, grantedByRuntime, imageRef, outage, questionOf, refused } from './scene.ts';

function sceneOf(answer: Answer, problem?: RecordStoreError) {
  const written: unknown[] = [];
  const problems: RecordStoreError[] = [];
  const runtimeGrants = createRuntimeGrants();
  const store = {
    recordGranted(image: string, content: string, grant: unknown) {
      if (problem) throw problem;
      written.push([image, content, grant]);
    },
  };
  const ask = recorded(answering(answer).ask, store, runtimeGrants, (error) => problems.push(error));
  return { ask, written, problems, runtimeGrants };
}

describe('what is written down', () => {
  it('a grant, under the secret whose credential it was', async () => {
    const { ask, written } = sceneOf(granted);
    await ask(questionOf());
    const secret = {
      namespace: 'team-a',
      name: 'alice',
      uid: 'uid of alice',
      credentialHash: 'key of alice',
    };
    expect(written).toEqual([['reg.example/team-a/app:1', imageRef, { kubernetesSecrets: [secret] }]]);
  });

  it("a grant to nobody's credentials, for every pod of the node", async () => {
    const { ask, written } = sceneOf(granted);
    await ask(questionOf({ credential: undefined }));
    expect(written).toEqual([['reg.example/team-a/app:1', imageRef, { nodePodsAccessible: true }]]);
  });

  it('what the runtime was granted by itself, apart and for its namespace alone', async () => {
    const { ask, written, runtimeGrants } = sceneOf(grantedByRuntime);
    await ask(questionOf({ credential: undefined }));
    expect(written).toEqual([]);
    const grant = { namespace: 'team-a', imageRef, repository: 'reg.example/team-a/app' };
    expect(runtimeGrants.has(grant)).toBe(true);
    expect(runtimeGrants.has({ ...grant, namespace: 'team-b' })).toBe(false);
    expect(runtimeGrants.repositories()).toEqual(['reg.example/team-a/app']);
  });

  it.each([[refused], [outage]])('nothing of %o', async (answer) => {
    const { ask, written, runtimeGrants } = sceneOf(answer);
    await ask(questionOf());
    expect([written, runtimeGrants.repositories()]).toEqual([[], []]);
  });

  it('a record that cannot be written costs no verdict, and is reported', async () => {
    const problem = new RecordStoreError('databaseFull', 'no space');
    const { ask, problems } = sceneOf(granted, problem);
    expect(await ask(questionOf())).toEqual(granted);
    expect(problems).toEqual([problem]);
  });
});
