import { ApiError, PodSourceError } from '../../errors.ts';

/** The PodSourceError for an ApiError; any other error is a defect and returned as it is. */
export function podSourceError(error: unknown, subject: string): unknown {
  if (!(error instanceof ApiError)) return error;
  return new PodSourceError('apiServerUnavailable', `${subject}: ${error.message}${whatToGrant(error)}`);
}

/** For a 403 on pods; the API server's own text names the user and the verb. */
export function whatToGrant(error: ApiError): string {
  if (error.reason !== 'forbidden') return '';
  return ' (a ServiceAccount needs get, list and watch on pods; a node identity must be that of --node-name)';
}
