/** metav1.Status as the API server answers it, with its HTTP code; texts are the real ones'. */
export type Status = {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly code: number;
};

function failure(
  code: number,
  reason: string,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): Status {
  const said = { status: 'Failure', message, reason } as const;
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, ...said, ...(details && { details }), code };
}

export const unauthorized = (): Status => failure(401, 'Unauthorized', 'Unauthorized');

export function forbidden(resource: string, name: string | undefined, text: string): Status {
  const subject = name === undefined ? resource : `${resource} ${JSON.stringify(name)}`;
  const details = { ...(name !== undefined && { name }), kind: resource };
  return failure(403, 'Forbidden', `${subject} is forbidden: ${text}`, details);
}

export function notFound(resource: string, name: string): Status {
  return failure(404, 'NotFound', `${resource} "${name}" not found`, { name, kind: resource });
}

export const noSuchPath = (): Status =>
  failure(404, 'NotFound', 'the server could not find the requested resource', {});

export function alreadyExists(resource: string, name: string): Status {
  return failure(409, 'AlreadyExists', `${resource} "${name}" already exists`, { name, kind: resource });
}

export function conflict(resource: string, name: string, text: string): Status {
  const message = `Operation cannot be fulfilled on ${resource} ${JSON.stringify(name)}: ${text}`;
  return failure(409, 'Conflict', message, { name, kind: resource });
}

export const badRequest = (message: string): Status => failure(400, 'BadRequest', message);

export const unsupportedMediaType = (): Status =>
  failure(
    415,
    'UnsupportedMediaType',
    'the body of the request was in an unknown format - accepted media types include: ' +
      'application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, ' +
      'application/strategic-merge-patch+json',
  );

export function invalid(kind: string, name: string, message: string): Status {
  return failure(422, 'Invalid', `${kind} "${name}" is invalid: ${message}`, { name, kind });
}

/** Of a watch, within the stream; and of a list with resourceVersionMatch=Exact. */
export function tooOldVersion(asked: number, oldest: number): Status {
  return failure(410, 'Expired', `too old resource version: ${asked} (${oldest})`);
}

/** Of a list: the answer gives a token with which an inconsistent list goes on; nobody should. */
export function continueExpired(inconsistent: string): Status {
  const text =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list ' +
    'without the continue parameter, or use the continue token in this response to retrieve the remainder of the ' +
    'results. Continuing with the provided token results in an inconsistent list - objects that were created, ' +
    'modified, or deleted between the time the first chunk was returned and now may show up in the list.';
  return { ...failure(410, 'Expired', text), metadata: { continue: inconsistent } };
}

/** Of a list: after the real one has waited 3 s for that version to come. */
export function tooLargeVersion(asked: number, current: number): Status {
  const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }];
  const text = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  return failure(504, 'Timeout', text, { causes, retryAfterSeconds: 1 });
}

/** What a fault with this code answers; undefined where the real one's body is no Status (429). */
export function faultStatus(code: number): Status | undefined {
  switch (code) {
    case 401:
      return unauthorized();
    case 403:
      return failure(403, 'Forbidden', 'forbidden: not by this server', {});
    case 404:
      return noSuchPath();
    case 409:
      return failure(409, 'Conflict', 'Operation cannot be fulfilled: the object has been modified', {});
    case 410:
      return failure(410, 'Expired', 'The resourceVersion for the provided list is too old.');
    case 429:
      return undefined;
    case 503:
      return failure(503, 'ServiceUnavailable', 'apiserver is shutting down.');
    case 504:
      return failure(504, 'Timeout', 'Timeout: request did not complete within the allotted timeout', {});
    default:
      return failure(code, 'InternalError', 'Internal error occurred: etcdserver: request timed out', {
        causes: [{ message: 'etcdserver: request timed out' }],
      });
  }
}
