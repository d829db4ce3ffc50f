import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './answer.ts';
import type { Attributes, Authorizer } from './authorizer.ts';
import type { Fields } from './body.ts';
import { answerCreate, answerPatch } from './events.ts';
import type { FaultAction, Faults } from './faults.ts';
import { kindOf } from './kinds.ts';
import { answerGet, answerList } from './lists.ts';
import type { ObjectStore } from './objects.ts';
import { type ApiQuestion, readQuestion } from './request.ts';
import { faultStatus, forbidden, noSuchPath, unauthorized } from './status.ts';
import { answerTokenRequest } from './tokens.ts';
import type { Users } from './users.ts';
import { VERSION } from './version.ts';
import type { Watches } from './watches.ts';

/** One request as it was logged. */
export type RequestRecord = {
  readonly at: Date;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly userAgent: string;
  /** Empty where the credentials were refused. */
  user: string;
  verb?: Attributes['verb'];
  resource?: string;
  namespace?: string | undefined;
  name?: string | undefined;
  query: ReadonlyMap<string, string>;
  /** Of the answer; undefined as long as there is none. */
  code?: number;
};

type Parts = {
  readonly store: ObjectStore;
  readonly users: Users;
  readonly authorizer: Authorizer;
  readonly faults: Faults;
  readonly watches: Watches;
  readonly requests: RequestRecord[];
  /** Bodies of the TokenRequests. */
  readonly tokenRequests: Fields[];
};

export type Handler = (
  request: IncomingMessage,
  answerOf: (onHead: (code: number) => void) => Answer,
) => void;

const HEALTH = ['/livez', '/readyz', '/healthz'];

/** Authenticates, authorizes and answers, in the API server's order; faults come after authentication. */
export function createHandler(parts: Parts): Handler {
  const { store, users, authorizer, faults, watches, requests } = parts;

  async function respond(request: IncomingMessage, record: RequestRecord, answer: Answer): Promise<void> {
    const user = users.authenticate(request);
    if (!user) return answer.status(unauthorized());
    record.user = user.name;
    const question = readQuestion(request);
    if (!question) return answerOther(request, answer);
    const { verb, resource, namespace, name, query } = question;
    Object.assign(record, { verb, resource, namespace, name, query });
    const { subresource } = question;
    const asked = subresource === undefined ? resource : `${resource}/${subresource}`;
    const attributes: Attributes = { ...question, resource: asked, user: user.name };
    const fault = faults.take(attributes);
    if (fault && (await befall(fault, question, answer)) === 'answered') return;
    const refusal = authorizer.refusal(attributes);
    if (refusal !== undefined) return answer.status(forbidden(resource, name, refusal));
    if (kindOf(resource) === undefined) return answer.status(noSuchPath());
    switch (verb) {
      case 'get':
        return answerGet(store, question, answer);
      case 'list':
        return answerList(store, question, answer);
      case 'watch':
        return watches.open(question, user.name, answer, fault?.kind === 'silent');
      case 'create':
        if (asked === 'serviceaccounts/token') {
          const asking = { ...question, user: user.name };
          parts.tokenRequests.push(await answerTokenRequest(parts, asking, request, answer));
          return;
        }
        return answerCreate(store, question, request, answer);
      case 'patch':
        return answerPatch(store, question, request, answer);
      default:
        return answer.status(noSuchPath());
    }
  }

  async function befall(
    fault: FaultAction,
    question: ApiQuestion,
    answer: Answer,
  ): Promise<'answered' | 'goesOn'> {
    switch (fault.kind) {
      case 'hang':
        return 'answered';
      case 'drop':
        answer.cut();
        return 'answered';
      case 'status':
        answerFault(fault.code, fault.retryAfterSeconds, answer);
        return 'answered';
      case 'body':
        answer.begin();
        for (const chunk of fault.chunks) answer.write(chunk);
        answer.end();
        return 'answered';
      case 'delay':
        await sleep(fault.ms);
        return 'goesOn';
      case 'cut':
        answer.cutAfter(fault.afterBytes);
        return 'goesOn';
      case 'silent':
        return question.verb === 'watch' ? 'goesOn' : 'answered';
    }
  }

  return (request, answerOf) => {
    const record: RequestRecord = {
      at: new Date(),
      method: request.method ?? '',
      url: request.url ?? '',
      userAgent: request.headers['user-agent'] ?? '',
      user: '',
      query: new Map(),
    };
    requests.push(record);
    const answer = answerOf((code) => {
      record.code = code;
    });
    respond(request, record, answer).catch((error: unknown) => {
      answer.text(500, error instanceof Error ? `${error.stack}` : 'failed');
    });
  };
}

function answerOther(request: IncomingMessage, answer: Answer): void {
  const path = (request.url ?? '').split('?')[0] ?? '';
  if (path === '/version') answer.object(200, VERSION);
  else if (HEALTH.includes(path)) answer.text(200, 'ok');
  else answer.status(noSuchPath());
}

/** API Priority and Fairness answers 429 with plain text; everything else is a Status. */
function answerFault(code: number, retryAfterSeconds: number | undefined, answer: Answer): void {
  const status = faultStatus(code);
  if (!status) {
    const headers = { 'Retry-After': String(retryAfterSeconds ?? 1) };
    answer.text(code, 'Too many requests, please try again later.\n', headers);
    return;
  }
  const details = { ...status.details, ...(retryAfterSeconds && { retryAfterSeconds }) };
  answer.status(retryAfterSeconds ? { ...status, details } : status);
}
