/** What rows of the table `meta` are called. */
export const META = {
  /** The version of the schema, as `PRAGMA user_version` has it, but with a check. */
  schemaVersion: 'schemaVersion',
  /**
   * INVENTORY_PENDING, or when the inventory was taken. It is there from the beginning: absence means that
   * it was lost.
   */
  inventory: 'inventory',
  /** When the agent last opened the database. */
  openedAt: 'openedAt',
  /** Followed by the name of a kubelet's record file. */
  unreadableFile: 'kubeletFileUnreadable:',
  /** Followed by what is remembered: see saved-state.ts. */
  state: 'state:',
} as const;

export const INVENTORY_PENDING = 'pending';
