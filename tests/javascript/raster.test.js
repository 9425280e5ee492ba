import assert from "node:assert/strict";
import { test } from "node:test";

import { drawDiscs, packColor } from "../../dashboard/components/embedding_map/raster.js";

const BLACK = packColor([0, 0, 0]);
const channels = (color) => [color & 255, (color >> 8) & 255, (color >> 16) & 255, color >>> 24];

// What one disc at (x, y) leaves on a black picture of 40 x 40 pixels.
function drawn(x, y, radius, { color = [255, 128, 0], level = 1, opacity = 1 } = {}) {
  const surface = { pixels: new Uint32Array(1600).fill(BLACK), width: 40, height: 40, margin: 10 };
  const frame = { scale: 1, x: 0, y: 0 };
  const colors = Uint32Array.of(packColor(color));
  drawDiscs(surface, Float32Array.of(x, -y), [0], colors, Uint8Array.of(level), 1, frame, radius, opacity);
  return surface.pixels;
}

test("a colour is packed as red, green, blue and full opacity, in this order in memory", () => {
  assert.deepEqual([...new Uint8Array(Uint32Array.of(packColor([1, 2, 3])).buffer)], [1, 2, 3, 255]);
});

test("a disc has its colour inside, nothing outside, and the area of a circle", () => {
  for (const [x, y, radius] of [
    [10.2, 9.7, 3],
    [8, 8, 1.3],
    [12.5, 10.1, 5.5],
  ]) {
    const pixels = drawn(x, y, radius);
    let area = 0;
    for (let place = 0; place < 1600; place++) {
      const distance = Math.hypot((place % 40) + 0.5 - 10 - x, Math.floor(place / 40) + 0.5 - 10 - y);
      const [red, green, blue, opacity] = channels(pixels[place]);
      if (distance < radius - 0.8) assert.deepEqual([red, green, blue], [255, 128, 0]);
      if (distance > radius + 0.8) assert.equal(pixels[place], BLACK);
      assert.equal(opacity, 255);
      area += red / 255;
    }
    assert.ok(Math.abs(area / (Math.PI * radius * radius) - 1) < 0.06);
  }
});

test("opacity mixes a disc with what lies below", () => {
  assert.deepEqual(
    channels(drawn(10.5, 10.5, 4, { color: [200, 100, 50], opacity: 0.5 })[20 * 40 + 20]),
    [100, 50, 25, 255],
  );
});

test("points of another level, out of the picture or without a place are left out", () => {
  const empty = new Uint32Array(1600).fill(BLACK);
  assert.deepEqual(drawn(10, 10, 3, { level: 2 }), empty);
  for (const [x, y] of [
    [-30, 10],
    [10, 50],
    [1e9, 10],
    [Number.NaN, 10],
  ])
    assert.deepEqual(drawn(x, y, 3), empty);
});
