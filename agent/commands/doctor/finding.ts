/** What doctor says of one thing it looked at. */
export type Finding = {
  readonly check: string;
  /** `failure`: the agent cannot do its work like this. */
  readonly status: 'ok' | 'warning' | 'failure';
  readonly detail: string;
  /** What to do about it; empty when it is ok. */
  readonly advice: string;
};

export function ok(check: string, detail: string): Finding {
  return { check, status: 'ok', detail, advice: '' };
}

export function warning(check: string, detail: string, advice: string): Finding {
  return { check, status: 'warning', detail, advice };
}

export function failure(check: string, detail: string, advice: string): Finding {
  return { check, status: 'failure', detail, advice };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
