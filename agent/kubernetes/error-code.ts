/** ENOENT and the like, for messages: an error's own could quote what was read. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'cannot be read';
}
