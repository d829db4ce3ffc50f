/** One thing that came out other than it was recorded, in the words of the vector's own fields. */
export type Difference = { readonly what: string; readonly expected: unknown; readonly actual: unknown };

/** One recorded vector, ready to be run. */
export type Vector = {
  readonly name: string;
  /** What the project's code does differently; empty when the vector passes. */
  readonly differences: () => readonly Difference[] | Promise<readonly Difference[]>;
};

/** A file that is no array of vectors, or cannot be read. */
export class VectorFileError extends Error {
  override readonly name = 'VectorFileError';
}
