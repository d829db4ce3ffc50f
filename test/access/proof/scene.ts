import type { PodCredential } from '../../../agent/access/pod-credential.ts';
import type { Answer, Ask, Question } from '../../../agent/access/proof/question.ts';

export const imageRef = `sha256:${'1'.repeat(64)}`;
export const digest = `sha256:${'d'.repeat(64)}`;

export function credentialOf(username: string): PodCredential {
  return {
    credential: { username, password: `of ${username}`, email: '' },
    key: `key of ${username}`,
    source: { kind: 'secret', namespace: 'team-a', name: username, uid: `uid of ${username}` },
  };
}

/** Alice of team-a asks for her image, unless said otherwise. */
export function questionOf(changes: Partial<Question> & { readonly repository?: string } = {}): Question {
  const { repository = 'reg.example/team-a/app', ...rest } = changes;
  return {
    name: { image: `${repository}:1`, repository, tag: '1', digests: [digest] },
    imageRef,
    credential: credentialOf('alice'),
    namespace: 'team-a',
    podSandboxId: undefined,
    urgent: true,
    ...rest,
  };
}

export const granted: Answer = { answer: 'granted', to: 'credential', message: 'the registry granted it' };
export const grantedByRuntime: Answer = { answer: 'granted', to: 'runtime', message: 'by the runtime' };
export const refused: Answer = { answer: 'refused', message: 'the registry answered 401' };
export const outage: Answer = { answer: 'unverifiable', reason: 'registryUnavailable', message: 'reset' };

/** Answers one after the other, the last one for good, and counts. */
export function answering(...answers: [Answer, ...Answer[]]): { readonly ask: Ask; asked(): number } {
  let asked = 0;
  return {
    ask: async () => {
      const answer = answers[Math.min(asked, answers.length - 1)] ?? answers[0];
      asked += 1;
      return answer;
    },
    asked: () => asked,
  };
}

/** Work that ends when it is told to. */
export function held<Result>(): { readonly work: () => Promise<Result>; end(result: Result): void } {
  let end = (_result: Result): void => undefined;
  const ended = new Promise<Result>((resolve) => {
    end = resolve;
  });
  return { work: () => ended, end: (result) => end(result) };
}
