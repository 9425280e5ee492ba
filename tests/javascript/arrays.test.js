import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import keepArrays, { unpack } from "../../dashboard/components/arrays/arrays.js";
import { fromBase64, toBase64 } from "../../dashboard/components/common/bytes.js";

// As `dashboard.components.arrays.packed` writes it.
function packed(arrays) {
  const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7, " ")]);
  const entries = Object.entries(arrays).map(([name, array]) => [name, Buffer.from(array.buffer)]);
  const header = padded(Buffer.from(JSON.stringify(entries.map(([name, bytes]) => [name, bytes.length]))));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return new Uint8Array(Buffer.concat([length, header, ...entries.map(([, bytes]) => padded(bytes))]));
}

const FIRST = { "f4-a": Float32Array.of(1.5, Number.NaN, -3), "u1-b": Uint8Array.of(1, 2, 255) };
const SECOND = { "u1-b": FIRST["u1-b"], "i4-c": Int32Array.of(-7) };

beforeEach(() => {
  globalThis.window = Object.assign(new EventTarget(), { simclrArrays: undefined });
});

test("arrays are read with the types in their names, wherever the message lies in memory", () => {
  const message = packed(FIRST);
  const shifted = new Uint8Array(message.length + 3);
  shifted.set(message, 3);
  assert.deepEqual(unpack(shifted.subarray(3)), new Map(Object.entries(FIRST)));
  assert.deepEqual(unpack(packed({})), new Map());
});

test("an array is kept as long as one mount needs it", () => {
  const [one, two] = [{}, {}];
  const unmountOne = keepArrays({ data: packed(FIRST), parentElement: one });
  const unmountTwo = keepArrays({ data: packed(SECOND), parentElement: two });
  const names = () => [...window.simclrArrays.keys()].sort();
  assert.deepEqual(names(), ["f4-a", "i4-c", "u1-b"]);
  unmountOne();
  assert.deepEqual(names(), ["i4-c", "u1-b"]);
  keepArrays({ data: packed({}), parentElement: two });
  assert.deepEqual(names(), []);
  unmountTwo();
});

test("who waits for arrays is told when they are there", () => {
  let seen;
  window.addEventListener("simclr-arrays", () => {
    seen = window.simclrArrays.get("i4-c");
  });
  keepArrays({ data: packed(SECOND), parentElement: {} });
  assert.deepEqual(seen, SECOND["i4-c"]);
});

test("base64 is read in both alphabets and written without signs that an address would change", () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7919) >> 3);
  assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  assert.deepEqual(fromBase64(Buffer.from(bytes).toString("base64")), bytes);
  assert.match(toBase64(bytes), /^[\w-]+$/);
});
