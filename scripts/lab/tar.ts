/** One file of a tar archive; always owned by root, dated 1970 so that equal content has equal digests. */
export interface TarFile {
  /** Path without leading slash, at most 100 bytes. */
  path: string;
  content: Buffer;
  /** Permission bits. */
  mode: number;
}

const blockSize = 512;

function header({ path, content, mode }: TarFile): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, offset: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  if (Buffer.byteLength(path) > 100) throw new RangeError(`tar path longer than 100 bytes: ${path}`);
  block.write(path, 0, 'utf8');
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(content.length, 124, 12);
  octal(0, 136, 12);
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  // The checksum is computed with its own field taken as spaces.
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A ustar archive of these files, in this order. */
export function tarArchive(files: TarFile[]): Buffer {
  const blocks: Buffer[] = [];
  for (const file of files) {
    const padding = (blockSize - (file.content.length % blockSize)) % blockSize;
    blocks.push(header(file), file.content, Buffer.alloc(padding));
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockSize)]);
}
