import assert from "node:assert/strict";
import { test } from "node:test";

import { contours } from "../../dashboard/components/embedding_map/contours.js";
import { bandwidth, densityAt, densityGrid, levelHolding } from "../../dashboard/components/embedding_map/density.js";
import { bounds, insideLasso } from "../../dashboard/components/embedding_map/geometry.js";
import { randomNumbers } from "./random.js";

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// `count` points around the given middles in turn.
function clouds(count, spread, seed, middles) {
  const random = randomNumbers(seed);
  return Float32Array.from(
    { length: 2 * count },
    (_, k) => middles[(k >> 1) % middles.length][k & 1] + spread * normal(random),
  );
}

const all = (points) => Uint32Array.from({ length: points.length / 2 }, (_, i) => i);

// The sum of all kernels at a place, as the formula has it.
function slowDensity(points, rows, sigma, x, y) {
  let sum = 0;
  for (const i of rows) {
    sum += Math.exp(-((points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2) / (2 * sigma ** 2));
  }
  return sum / (2 * Math.PI * sigma ** 2);
}

const insideRings = (x, y, rings) =>
  rings.filter((ring) => insideLasso(Float64Array.of(x, y), ring)[0]).length % 2 === 1;

test("the density is the sum of the kernels, at nodes and between them", () => {
  const points = clouds(400, 0.5, 1, [
    [0, 0],
    [3, 1],
    [-2, 4],
  ]);
  const rows = all(points).filter((i) => i % 2 === 0);
  const box = bounds(points);
  const sigma = bandwidth(points, rows, box);
  const grid = densityGrid(points, rows, box, sigma);
  let most = 0;
  let worst = 0;
  const random = randomNumbers(2);
  for (let n = 0; n < 400; n++) {
    const [x, y] = [box.x + (random() - 0.5) * box.width, box.y + (random() - 0.5) * box.height];
    const slow = slowDensity(points, rows, sigma, x, y);
    most = Math.max(most, slow);
    worst = Math.max(worst, Math.abs(densityAt(grid, x, y) - slow));
  }
  assert.ok(worst < 0.06 * most, `${worst} of ${most}`);
  const total = grid.values.reduce((sum, value) => sum + value, 0) * grid.cell ** 2;
  assert.ok(Math.abs(total - rows.length) < 1e-3 * rows.length); // no image is lost
});

test("the outline of a round cloud is the circle that holds so many", () => {
  const points = clouds(40000, 1, 3, [[0, 0]]);
  const box = bounds(points);
  const sigma = bandwidth(points, all(points), box);
  const grid = densityGrid(points, all(points), box, sigma);
  const rings = contours(grid, levelHolding(grid, points, all(points), 0.8));
  const [ring] = rings.sort((one, other) => other.length - one.length);
  const expected = Math.sqrt(-2 * Math.log(0.2)); // of a standard normal cloud 80 % lie within
  const radii = ring.map(([x, y]) => Math.hypot(x, y));
  assert.ok(Math.abs(radii.reduce((sum, radius) => sum + radius, 0) / radii.length - expected) < 0.02 * expected);
});

test("80 % of the images lie inside, also of a class in three places and of a ring with a hole", () => {
  const random = randomNumbers(5);
  const ring = Float32Array.from({ length: 3000 }, () => 0);
  for (let i = 0; i < 1500; i++) {
    const angle = (2 * Math.PI * i) / 1500;
    ring[2 * i] = (4 + 0.3 * normal(random)) * Math.cos(angle);
    ring[2 * i + 1] = (4 + 0.3 * normal(random)) * Math.sin(angle);
  }
  for (const [points, least, numHoles] of [
    [
      clouds(900, 0.4, 4, [
        [0, 0],
        [8, 0],
        [0, 8],
      ]),
      3,
      0,
    ],
    [ring, 2, 1],
  ]) {
    const rows = all(points);
    const box = bounds(points);
    const grid = densityGrid(points, rows, box, bandwidth(points, rows, box));
    const level = levelHolding(grid, points, rows, 0.8);
    const rings = contours(grid, level);
    assert.ok(rings.length >= least);
    const inside = [...rows].filter((i) => insideRings(points[2 * i], points[2 * i + 1], rings)).length;
    assert.ok(Math.abs(inside / rows.length - 0.8) < 0.02, `${inside / rows.length}`);
    if (numHoles) assert.ok(!insideRings(0, 0, rings));
  }
});

test("inside the lines is what is above the level, on any surface, saddles included", () => {
  const random = randomNumbers(6);
  for (let round = 0; round < 40; round++) {
    const [columns, lines] = [9, 7];
    const values = Float32Array.from({ length: columns * lines }, (_, at) => {
      const isEdge = at % columns === 0 || at % columns === columns - 1 || at < columns || at >= columns * (lines - 1);
      return isEdge ? 0 : random();
    });
    const grid = { left: -1, low: 2, cell: 0.5, columns, lines, values };
    const rings = contours(grid, 0.5);
    for (let at = 0; at < values.length; at++) {
      const [x, y] = [-1 + 0.5 * (at % columns), 2 + 0.5 * Math.floor(at / columns)];
      assert.equal(insideRings(x, y + 1e-7, rings), values[at] >= 0.5, `node ${at}`);
    }
    for (const ring of rings) {
      assert.ok(ring.length >= 4);
      // each corner lies on a side of a cell where the surface is at the level, and the next one in the same cell
      ring.forEach(([x, y], k) => {
        assert.ok(Math.abs(densityAt(grid, x, y) - 0.5) < 1e-5);
        const [nextX, nextY] = ring[(k + 1) % ring.length];
        assert.ok(Math.hypot(nextX - x, nextY - y) <= 0.5 * Math.SQRT2 + 1e-9);
      });
    }
  }
});

test("few images, or all at one place, do no harm", () => {
  for (const points of [new Float32Array(0), Float32Array.of(1, 1), new Float32Array(20).fill(3)]) {
    const box = bounds(points);
    const rows = all(points);
    const grid = densityGrid(points, rows, box, bandwidth(points, rows, box));
    const rings = contours(grid, levelHolding(grid, points, rows, 0.8));
    assert.ok(rings.flat(2).every(Number.isFinite));
  }
});
