import type { Pod, Secret } from '../../pod-source.ts';
import type { WatchEvent } from '../watch-event.ts';

/** What the API server sent, as JSON text in UTF-8. */
export type ObjectQuestion =
  | { readonly kind: 'event' | 'pod'; readonly json: Uint8Array }
  | { readonly kind: 'secret'; readonly json: Uint8Array; readonly readAtMs: number };

/** Problem: what was not understood, as it would have been said on the main thread. */
export type ReadObject =
  | { readonly kind: 'event'; readonly event: Exclude<WatchEvent, { type: 'error' }> }
  | { readonly kind: 'pod'; readonly pod: Pod }
  | { readonly kind: 'secret'; readonly secret: Secret }
  | { readonly kind: 'problem'; readonly message: string };
