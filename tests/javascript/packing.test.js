// Archives that a browser makes of files: their checksums and records. Python's zipfile opens them in the browser tests.

import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, packed } from "../../dashboard/components/folder_drop/packing.js";

test("the checksum is that of the standard", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

test("each file stands where the list says, under its name in UTF-8", async () => {
  const files = [
    { path: "cat/1.png", file: new Blob(["one"]) },
    { path: "ö/2.png", file: new Blob([new Uint8Array([255, 0])]) },
    { path: "empty", file: new Blob([]) },
  ];
  const told = [];
  const bytes = await (await packed(files, (done) => told.push(done))).arrayBuffer();
  const view = new DataView(bytes);
  const text = (at, size) => new TextDecoder().decode(bytes.slice(at, at + size));
  const end = bytes.byteLength - 22;
  assert.equal(view.getUint32(end, true), 0x06054b50);
  assert.equal(view.getUint16(end + 10, true), 3);
  let at = view.getUint32(end + 16, true);
  assert.equal(at + view.getUint32(end + 12, true), end);
  for (const { path, file } of files) {
    assert.equal(view.getUint32(at, true), 0x02014b50);
    const [size, nameSize, local] = [
      view.getUint32(at + 24, true),
      view.getUint16(at + 28, true),
      view.getUint32(at + 42, true),
    ];
    assert.equal(size, file.size);
    assert.equal(text(at + 46, nameSize), path);
    assert.equal(view.getUint32(local, true), 0x04034b50);
    assert.equal(text(local + 30, nameSize), path);
    const content = new Uint8Array(bytes.slice(local + 30 + nameSize, local + 30 + nameSize + size));
    assert.deepEqual(content, new Uint8Array(await file.arrayBuffer()));
    assert.equal(view.getUint32(at + 16, true), crc32(content));
    at += 46 + nameSize;
  }
  assert.deepEqual(told, [1, 2, 3]);
});
