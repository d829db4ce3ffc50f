const NEWLINE = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;

const MAX_ENVELOPE_BYTES = 256 * 1024;
const MAX_BLANK_BYTES = 1_024;

/**
 * Takes a body in chunks as they come and hands on whole pieces of it, so that memory is bounded by one
 * piece.
 */
export type PieceReader = { push(chunk: Buffer): void };

export type PieceHandlers = {
  /** One piece, as JSON text in UTF-8; of these bytes nobody else keeps anything. */
  readonly onPiece: (json: Buffer) => void;
  /** A piece was longer than allowed and was passed over. */
  readonly onTooLarge: () => void;
};

/** The lines of a watch. Bytes after the last newline are no line: the connection was cut there. */
export function createLineReader(maxBytes: number, handlers: PieceHandlers): PieceReader {
  const line = createPiece(maxBytes);
  return {
    push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        line.add(chunk.subarray(start, end));
        deliver(line, handlers);
        start = end + 1;
      }
      line.add(chunk.subarray(start));
    },
  };
}

/**
 * The objects in `items` of a list, one after the other. `envelope` is the list without its items, once all
 * is pushed; undefined while brackets are open or where it is implausibly long.
 */
export function createItemsReader(
  maxBytes: number,
  handlers: PieceHandlers,
): PieceReader & { envelope(): Buffer | undefined } {
  const item = createPiece(maxBytes);
  const envelope = createPiece(MAX_ENVELOPE_BYTES);
  let depth = 0;
  let inString = false;
  let escaped = false;
  let inItems = false;
  /** The text of the string last closed outside of items: a key where a colon follows. */
  let text = '';
  let key = '';

  function structural(byte: number): void {
    if (byte === COLON) key = text;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth === 2 && byte === OPEN_BRACKET && key === 'items') inItems = true;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
  }

  return {
    push(chunk) {
      let start = 0;
      for (let at = 0; at < chunk.length; at += 1) {
        const byte = chunk[at] ?? 0;
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === BACKSLASH) escaped = true;
          else if (byte === QUOTE) inString = false;
          else if (!inItems && depth === 1 && text.length < 16) text += String.fromCharCode(byte);
          continue;
        }
        if (byte === QUOTE) {
          inString = true;
          if (!inItems) text = '';
          continue;
        }
        const wasInItems = inItems;
        structural(byte);
        if (!wasInItems && inItems) {
          envelope.add(chunk.subarray(start, at + 1));
          start = at + 1;
        } else if (inItems && depth === 2 && (byte === CLOSE_BRACE || byte === CLOSE_BRACKET)) {
          item.add(chunk.subarray(start, at + 1));
          deliver(item, handlers);
          start = at + 1;
        } else if (inItems && depth === 2 && byte === COMMA) {
          item.discard();
          start = at + 1;
        } else if (inItems && depth < 2) {
          inItems = false;
          item.discard();
          start = at;
        }
      }
      (inItems ? item : envelope).add(chunk.subarray(start));
    },
    envelope: () => (depth === 0 && !inString ? envelope.take() : undefined),
  };
}

type Piece = {
  add(bytes: Buffer): void;
  /** All that was added, once; undefined where it was more than allowed. */
  take(): Buffer | undefined;
  discard(): void;
};

function createPiece(maxBytes: number): Piece {
  let parts: Buffer[] = [];
  let length = 0;
  function discard(): void {
    parts = [];
    length = 0;
  }
  return {
    add(bytes) {
      length += bytes.length;
      if (length > maxBytes) parts = [];
      else if (bytes.length > 0) parts.push(bytes);
    },
    take() {
      const taken = length > maxBytes ? undefined : Buffer.concat(parts);
      discard();
      return taken;
    },
    discard,
  };
}

function deliver(piece: Piece, { onPiece, onTooLarge }: PieceHandlers): void {
  const json = piece.take();
  if (json === undefined) onTooLarge();
  else if (!isBlank(json)) onPiece(json);
}

/** Looks at no more than the beginning of what is longer than any blank line. */
function isBlank(json: Buffer): boolean {
  return json.length < MAX_BLANK_BYTES && json.toString('utf8').trim() === '';
}
