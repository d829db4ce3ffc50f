import type { Seen } from './outage.ts';

/** What a question cost. */
export type Spent = {
  /** Requests to the registry and to where it redirected. */
  readonly requests: number;
  readonly tokenRequests: number;
  /** Of bodies. */
  readonly bytes: number;
};

/** The registry itself says no. `by` tells whether it or its token server spoke. */
export type Refusal = {
  readonly answer: 'unauthorized' | 'forbidden' | 'notFound';
  readonly by: 'registry' | 'tokenServer';
  readonly status: number;
};

/** The registry keeps this image from everybody: Harbor's policies (412), the law (451). */
export type PolicyRefusal = { readonly answer: 'forbiddenByPolicy'; readonly status: number };

/** Nothing that the registry said: an outage, and never held against anybody. */
export type Unavailable = {
  readonly answer: 'unavailable';
  readonly seen: Seen;
  /** For people, tenants included. */
  readonly message: string;
  readonly status?: number;
  readonly retryAfterMs?: number;
};

/**
 * Every answer to a question is one of these. `granted` came with the bytes that were asked for, or it is
 * none.
 */
export type RegistryAnswer<Content> = (
  | ({
      readonly answer: 'granted';
      /**
       * Whether a credential was needed: an anonymous token or no question at all means that anybody gets
       * it.
       */
      readonly asked: 'withCredential' | 'anonymously';
    } & Content)
  | Refusal
  | PolicyRefusal
  | Unavailable
) & { readonly spent: Spent };
