import { gone, put, type Rows } from './rows.ts';

/** An image id without `sha256:`, and a repository that the runtime lists it under. */
export type MatchedName = { readonly imageId: string; readonly repository: string };

/**
 * Names of images whose manifest was compared with what runs: for every layer it names a blob that unpacks to
 * it.
 */
export interface MatchedNames {
  has(name: MatchedName): boolean;
  /** @throws RecordStoreError */
  add(names: readonly MatchedName[]): void;
  /** Forgets the names of images that are not among these ids. @throws RecordStoreError */
  keepOnly(imageIds: ReadonlySet<string>): void;
}

/** MatchedNames on the rows of the state database. @throws RecordStoreError */
export function openMatchedNames(rows: Rows): MatchedNames {
  /** Most images have one name. */
  const repositoriesOf = new Map<string, readonly string[]>();
  const take = ({ imageId, repository }: MatchedName): void => {
    repositoriesOf.set(imageId, [...(repositoriesOf.get(imageId) ?? []), repository]);
  };
  for (const [imageId, repository] of rows.all('matched_names'))
    take({ imageId: String(imageId), repository: String(repository) });

  const has = ({ imageId, repository }: MatchedName): boolean =>
    repositoriesOf.get(imageId)?.includes(repository) ?? false;

  return {
    has,
    add(names) {
      const added = names.filter((name) => !has(name));
      if (added.length === 0) return;
      // What a power cut takes is compared again.
      const write = { doing: 'record names of images', durability: 'kill' } as const;
      rows.write(write, () =>
        added.map(({ imageId, repository }) => put('matched_names', [imageId, repository])),
      );
      for (const name of added) take(name);
    },
    keepOnly(imageIds) {
      const leaving = [...repositoriesOf].filter(([imageId]) => !imageIds.has(imageId));
      if (leaving.length === 0) return;
      const write = { doing: 'forget names of images', durability: 'kill' } as const;
      rows.write(write, () =>
        leaving.flatMap(([imageId, repositories]) =>
          repositories.map((repository) => gone('matched_names', [imageId, repository])),
        ),
      );
      for (const [imageId] of leaving) repositoriesOf.delete(imageId);
    },
  };
}
