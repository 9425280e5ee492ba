// Files as one .zip archive, not compressed: images are, and one file is sent hundreds of times faster than a thousand.

/** @type {Uint32Array<ArrayBuffer> | undefined} */
let table;

/** The checksum of a .zip archive (CRC-32, as in PNG). @param {Uint8Array} bytes */
export function crc32(bytes) {
  if (!table) {
    table = new Uint32Array(256);
    for (let n = 0; n < 256; n++) {
      let value = n;
      for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
      table[n] = value;
    }
  }
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Numbers of 2 or 4 bytes, the lowest first. @param {...[number, 2 | 4]} fields */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}

const VERSION = 20;
const UNIX = 3 << 8; // names have "/" between folders, and "\" is a sign as any other
const UTF8 = 0x800;
const DAY = 0x21; // 1 January 1980, the first that an archive knows

/**
 * An archive of at most 65,534 files and 4 GiB in all.
 * @param {{ path: string, file: Blob }[]} files @param {(done: number) => void} [tell]
 * @returns {Promise<Blob>}
 */
export async function packed(files, tell) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {BlobPart[]} */
  const list = [];
  let offset = 0;
  let listSize = 0;
  for (const [number, { path, file }] of files.entries()) {
    const name = new TextEncoder().encode(path);
    const crc = crc32(new Uint8Array(await file.arrayBuffer()));
    /** @type {[number, 2 | 4][]} */
    const same = [
      [VERSION, 2],
      [UTF8, 2],
      [0, 2],
      [0, 2],
      [DAY, 2],
      [crc, 4],
      [file.size, 4],
      [file.size, 4],
    ];
    same.push([name.length, 2], [0, 2]);
    parts.push(record([0x04034b50, 4], ...same), name, file);
    list.push(record([0x02014b50, 4], [UNIX | VERSION, 2], ...same, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
    offset += 30 + name.length + file.size;
    listSize += 46 + name.length;
    tell?.(number + 1);
  }
  const count = files.length;
  const end = record([0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [listSize, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...list, end], { type: "application/zip" });
}
