import assert from "node:assert/strict";
import { test } from "node:test";

import { choiceFrom, choiceText } from "../../dashboard/components/embedding_map/choice_text.js";
import { bounds, insideLasso, makeGrid, search } from "../../dashboard/components/embedding_map/geometry.js";
import { randomNumbers } from "./random.js";

function cloud(count, seed) {
  const random = randomNumbers(seed);
  return Float32Array.from({ length: 2 * count }, () => 10 * random() - 5);
}

test("bounds have the middle and the size of all points, and a size where there is none", () => {
  assert.deepEqual(bounds(Float32Array.of(-1, 2, 3, 8)), { x: 1, y: 5, width: 4, height: 6 });
  assert.deepEqual(bounds(Float32Array.of(7, 7)), { x: 7, y: 7, width: 1, height: 1 });
  assert.deepEqual(bounds(new Float32Array(0)), { x: 0, y: 0, width: 1, height: 1 });
});

test("each point stands in one cell of the grid", () => {
  const points = cloud(500, 1);
  const grid = makeGrid(points);
  assert.deepEqual(
    [...grid.items].sort((a, b) => a - b),
    [...Array(500).keys()],
  );
  assert.equal(grid.start.at(-1), 500);
});

test("the search finds what a look at every point finds", () => {
  const points = cloud(400, 2);
  const grid = makeGrid(points);
  const random = randomNumbers(3);
  for (let attempt = 0; attempt < 200; attempt++) {
    const x = 14 * random() - 7;
    const y = 14 * random() - 7;
    const most = attempt % 2 ? Infinity : random();
    const cost = (i) => Math.hypot(points[2 * i] - x, points[2 * i + 1] - y);
    let best = -1;
    for (let i = 0; i < 400; i++) if (cost(i) < (best < 0 ? most : cost(best))) best = i;
    assert.equal(search(grid, x, y, most, cost), best);
  }
});

test("a lasso holds what lies inside a polygon, by the even-odd rule", () => {
  const square = [
    [0, 0],
    [2, 0],
    [2, 2],
    [0, 2],
  ];
  assert.deepEqual([...insideLasso(Float32Array.of(1, 1, 3, 1, -1, 1, 1.9, 0.1), square)], [1, 0, 0, 1]);
  const twice = [...square, ...square]; // the inside is passed twice, and is outside again
  assert.deepEqual([...insideLasso(Float32Array.of(1, 1), twice)], [0]);
});

test("a lasso around a circle holds the points within its radius", () => {
  const points = cloud(1000, 4);
  const circle = Array.from({ length: 720 }, (_, i) => [
    3 * Math.cos((i * Math.PI) / 360),
    3 * Math.sin((i * Math.PI) / 360),
  ]);
  const found = insideLasso(points, circle);
  for (let i = 0; i < 1000; i++) {
    const distance = Math.hypot(points[2 * i], points[2 * i + 1]);
    if (Math.abs(distance - 3) > 0.001) assert.equal(found[i], distance < 3 ? 1 : 0);
  }
});

test("a choice survives as text that is never longer than a bit for each row", () => {
  for (const count of [1, 7, 1000, 5000]) {
    for (const share of [0, 0.001, 0.02, 0.3, 1]) {
      const random = randomNumbers(count);
      const chosen = Uint8Array.from({ length: count }, () => (random() < share ? 1 : 0));
      const text = choiceText(chosen);
      assert.match(text, /^[\w-]*$/);
      assert.ok(text.length <= 1 + Math.ceil((Math.ceil(count / 8) * 4) / 3));
      assert.deepEqual(choiceFrom(text, count), chosen);
    }
  }
});

test("damaged text chooses nothing, and rows that do not exist are never chosen", () => {
  for (const text of ["", "x", "b", "d", "b???", "d!", "zAAAA", "<script>"]) {
    assert.deepEqual(choiceFrom(text, 9), new Uint8Array(9));
  }
  assert.deepEqual(choiceFrom(choiceText(new Uint8Array(90).fill(1)), 5), new Uint8Array(5).fill(1));
});
