const PREFIXED = /^sha256:[0-9a-f]{64}$/;
const BARE = /^[0-9a-f]{64}$/;

/** What image ids are compared by: containerd writes `sha256:<64 hex digits>`, CRI-O only the digits. */
export function imageIdKey(id: string): string {
  return PREFIXED.test(id) ? id.slice('sha256:'.length) : id;
}

/** Is this text an image id rather than a name? Runtimes accept one in a pod's `image` field. */
export function isImageId(text: string): boolean {
  return PREFIXED.test(text) || BARE.test(text);
}

/** Do these two ids name the same content, whichever runtime wrote them? */
export function isSameImageId(one: string, other: string): boolean {
  return imageIdKey(one) === imageIdKey(other);
}
