import assert from "node:assert/strict";
import { test } from "node:test";

import {
  COVERED,
  LEAST_SIDE,
  MAY_BE_COVERED,
  mostSide,
  nextSide,
  rowsInWindow,
  sideWithRoom,
} from "../../dashboard/components/embedding_map/room.js";
import { keptSide } from "../../dashboard/components/embedding_map/sheets.js";
import { randomNumbers } from "./random.js";

function scattered(count, width, height, seed) {
  const random = randomNumbers(seed);
  return Float64Array.from({ length: 2 * count }, (_, k) => random() * (k % 2 ? height : width));
}

// The rule, pair by pair: how large a share of the images lies under others by more than COVERED.
function shareCovered(places, side) {
  const count = places.length / 2;
  let number = 0;
  for (let below = 0; below < count; below++) {
    let covered = 0;
    for (let above = below + 1; above < count; above++) {
      const dx = Math.abs(places[2 * below] - places[2 * above]);
      const dy = Math.abs(places[2 * below + 1] - places[2 * above + 1]);
      covered += Math.max(0, side - dx) * Math.max(0, side - dy);
    }
    if (covered / side ** 2 > COVERED) number++;
  }
  return number / count;
}

test("the side is the largest at which at most a quarter of the images is covered by more than a third", () => {
  for (const count of [2, 10, 40, 120, 200]) {
    for (const seed of [1, 2, 3]) {
      const places = scattered(count, 500, 430, seed);
      const side = sideWithRoom(places, 20, 72);
      if (side) assert.ok(shareCovered(places, side) <= MAY_BE_COVERED);
      if (side < 72) assert.ok(shareCovered(places, Math.max(20, side + 0.5)) > MAY_BE_COVERED);
    }
  }
});

test("few images are as large as they may be, many are dots", () => {
  assert.equal(sideWithRoom(scattered(8, 500, 430, 1), 20, 54), 54);
  assert.equal(sideWithRoom(scattered(500, 500, 430, 1), 20, 54), 0);
  assert.equal(sideWithRoom(new Float64Array(0), 20, 54), 0);
  assert.equal(sideWithRoom(Float64Array.of(5, 5), 20, 54), 54);
});

test("a pair of twins does not turn a roomy window into dots", () => {
  const places = Float64Array.of(50, 50, 50, 50, 200, 50, 50, 200, 200, 200, 350, 50);
  assert.equal(sideWithRoom(places, 20, 54), 54);
  assert.equal(sideWithRoom(Float64Array.of(50, 50, 50, 50), 20, 54), 0); // but of two, half is covered
});

test("images grow with the room while a map is zoomed into", () => {
  const places = scattered(150, 500, 430, 4);
  let before = 0;
  for (const zoom of [1, 1.25, 1.6, 2, 2.5, 3]) {
    const side = sideWithRoom(
      places.map((value) => value * zoom),
      5,
      200,
    );
    assert.ok(side > before);
    before = side;
  }
});

test("no image is larger than an eighth of a narrow window, nor than 72 pixels", () => {
  assert.equal(mostSide({ width: 330, height: 300 }), 38);
  assert.equal(mostSide({ width: 1200, height: 900 }), 72);
  assert.ok(mostSide({ width: 10, height: 10 }) > LEAST_SIDE);
});

test("the side goes to what there is room for, and stays while the map is pulled about", () => {
  let side = 20;
  const path = [];
  while (side !== 48 && path.length < 50) path.push((side = nextSide(side, 48, false)));
  assert.ok(path.length < 12);
  path.forEach((value, i) => assert.ok(value > (path[i - 1] ?? 20) && value <= 48));
  assert.equal(nextSide(40, 48, true), 40);
  assert.equal(nextSide(40, 32, true), 40);
  assert.ok(nextSide(48, 22, true) < 48); // far too large
  assert.ok(nextSide(20, 48, true) > 20); // far too small
});

test("rows in a window are those that are seen, at its edges too, and none if they are too many", () => {
  const points = Float32Array.of(0, 0, 5, 5, -5.2, 0, 30, 0, 1, 1);
  const panel = { points, levels: Uint8Array.of(2, 1, 2, 2, 0) };
  const map = { order: Uint32Array.of(4, 3, 2, 1, 0) };
  const frame = { width: 200, height: 200, scale: 20, x: 100, y: 100 }; // -5 to 5 in both directions
  assert.deepEqual(rowsInWindow(map, panel, frame, 0), [2, 1, 0]);
  const many = { points: new Float32Array(2000), levels: new Uint8Array(1000).fill(2) };
  assert.deepEqual(rowsInWindow({ order: new Uint32Array(1000) }, many, frame, 0), []);
});

test("all sheets together fit into the memory they may take, and small ones stay as they are", () => {
  assert.equal(keptSide(64, 2000), 64);
  assert.equal(keptSide(32, 50_000), 32);
  const side = keptSide(64, 50_000);
  assert.ok(side < 64 && side >= 32);
  assert.ok(4 * side ** 2 * 50_000 <= 256e6);
});
