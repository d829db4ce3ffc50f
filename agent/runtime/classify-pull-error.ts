import { status as grpc } from '@grpc/grpc-js';
import { isOfBlob, nameBefore, type PrintedStatus, printedStatus } from './http-status.ts';
import { matchingRow } from './pull-errors.ts';
import { messageForLog } from './pull-message.ts';
import { type Name, type PullText, readPullText, triesOf } from './pull-text.ts';
import type { FailedPull, PullFailure, PullSpeaker } from './runtime.ts';

/**
 * How the call stood when its error came: `closed` by the agent's own end, or at its deadline. The server
 * keeps the deadline too, and its reset may come before grpc-js says so itself; it looks like that of a
 * server that went away.
 */
export type CallState = 'open' | 'closed' | 'overdue';

/** What a PullImage ended with. */
export type PullError = {
  readonly code: number;
  readonly message: string;
  readonly call: CallState;
  /** What is to be taken out of the message (credential-encodings.ts). */
  readonly secrets: readonly string[];
};

/**
 * What a failed PullImage says, from its gRPC code and text: a refusal carries no other sign (all runtimes
 * answer Unknown(2) without details). `isItself` tells whether a host is the image's own registry.
 */
export function classifyPullError(error: PullError, isItself: (host: string) => boolean): FailedPull {
  const message = messageForLog(error.message, error.secrets);
  const outcome = outcomeOfCode(error);
  if (outcome !== undefined) return { outcome, speaker: 'unstated', message };
  return { ...wordOf(error, isItself), message };
}

type Word = { readonly outcome: PullFailure; readonly speaker: PullSpeaker };

const UNKNOWN: Word = { outcome: 'unknown', speaker: 'unstated' };

/** Codes that gRPC itself, or a runtime that is no runtime, answers with. */
function outcomeOfCode({ code, message, call }: PullError): PullFailure | undefined {
  switch (code) {
    case grpc.UNAVAILABLE:
    case grpc.UNIMPLEMENTED:
      return 'runtimeUnavailable';
    case grpc.CANCELLED:
      if (call !== 'open') return call === 'closed' ? 'runtimeUnavailable' : 'unavailable';
      // grpc-js's words where a connection broke; containerd cancels a pull whose registry sends nothing
      // any more.
      return message === 'Call cancelled' || message === 'Cancelled on client'
        ? 'runtimeUnavailable'
        : 'unavailable';
    case grpc.DEADLINE_EXCEEDED:
      return 'unavailable';
    case grpc.INTERNAL:
      // A stream that was reset without a status (`Received RST_STREAM with code …`).
      return call === 'overdue' ? 'unavailable' : undefined;
    default:
      return undefined;
  }
}

/** A try that could not ask makes the whole unavailable; otherwise the first one, the image's, decides. */
function wordOf({ code, message }: PullError, isItself: (host: string) => boolean): Word {
  const words = triesOf(message)?.map((text) => wordOfTry(code, readPullText(text), isItself)) ?? [];
  return words.find(({ outcome }) => outcome === 'unavailable') ?? words[0] ?? UNKNOWN;
}

function wordOfTry(code: number, text: PullText, isItself: (host: string) => boolean): Word {
  const speakerOf = (name: Name | undefined): PullSpeaker =>
    name === undefined ? 'unstated' : isItself(hostOf(name.text)) ? 'registry' : 'other';
  const status = printedStatus(text);
  const matched = matchingRow(code, text);
  if (status !== undefined && status.at <= (matched?.at ?? Number.POSITIVE_INFINITY)) {
    return { outcome: outcomeOfStatus(status), speaker: speakerOf(status.answeredBy) };
  }
  if (matched === undefined) return UNKNOWN;
  const { row, at } = matched;
  if (row.speaker !== undefined) return { outcome: row.outcome, speaker: row.speaker };
  const speaker = speakerOf(nameBefore(text, at));
  return { outcome: isOfBlob(text, at) && isRefusal(row.outcome) ? 'unavailable' : row.outcome, speaker };
}

/**
 * A status counts as a refusal only where a manifest was asked for: a blob's may be an object store's, and
 * containerd asks for one in the manifest's place where the manifest was not answered. A token server may
 * only refuse.
 */
function outcomeOfStatus({ status, asked }: PrintedStatus): PullFailure {
  const outcome = meaningOf(status);
  if (!isRefusal(outcome)) return outcome;
  if (asked === 'token') return outcome === 'refused' ? 'refused' : 'unknown';
  return asked === 'blob' || asked === 'other' ? 'unavailable' : outcome;
}

function isRefusal(outcome: PullFailure): boolean {
  return outcome === 'refused' || outcome === 'notFound' || outcome === 'forbiddenByPolicy';
}

function meaningOf(status: number): PullFailure {
  switch (status) {
    case 401:
    case 403:
      return 'refused';
    case 404:
    case 410:
      return 'notFound';
    case 412:
    case 451:
      return 'forbiddenByPolicy';
    case 407:
    case 408:
    case 425:
    case 429:
      return 'unavailable';
    default:
      return status >= 500 ? 'unavailable' : 'unknown';
  }
}

/** The host, with its port, of a URL or an image name; in lower case. */
function hostOf(name: string): string {
  const scheme = name.indexOf('://');
  const rest = scheme === -1 ? name : name.slice(scheme + 3);
  const authority = rest.split(/[/?#]/, 1)[0] ?? '';
  return authority.slice(authority.lastIndexOf('@') + 1).toLowerCase();
}
