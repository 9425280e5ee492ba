import assert from "node:assert/strict";
import { test } from "node:test";

import { overlap, placeNames } from "../../dashboard/components/embedding_map/placing.js";
import { randomNumbers } from "./random.js";

const name = (x, y, width = 60) => ({ x, y, width, height: 16 });

function boxes(names, moves) {
  return names.flatMap(({ x, y, width, height }, i) =>
    moves[i] ? [{ left: x + moves[i][0] - width / 2, top: y + moves[i][1] - height / 2, width, height }] : [],
  );
}

test("names never overlap, stay on the map and near their places", () => {
  const random = randomNumbers(1);
  for (let attempt = 0; attempt < 50; attempt++) {
    const names = Array.from({ length: 30 }, () => name(400 * random(), 300 * random(), 20 + 80 * random()));
    const moves = placeNames(names, 400, 300, 30);
    const found = boxes(names, moves);
    assert.ok(found.length > 8);
    found.forEach((box, i) => {
      assert.ok(box.left >= 4 && box.left + box.width <= 396 && box.top >= 4 && box.top + box.height <= 296);
      assert.ok(!found.slice(i + 1).some((other) => overlap(box, other)));
    });
    moves.forEach((move, i) => {
      // from the edge of the map it may be further
      const isInside = names[i].y > 40 && names[i].y < 260;
      if (move && isInside) assert.ok(Math.abs(move[1]) <= 30);
    });
  }
});

test("the first keeps its place, the next are moved up or down by a line, and one without room is left out", () => {
  // a line is 18 pixels: the second, 10 lower, is free one line down, the third one line up
  const names = [name(100, 100), name(110, 110), name(105, 98), name(105, 102)];
  assert.deepEqual(placeNames(names, 300, 200, 20), [[0, 0], [0, 18], [0, -18], null]);
});

test("a name outside the map is left out, one at its edge is pushed inside", () => {
  assert.deepEqual(placeNames([name(-1, 50), name(50, 301), name(10, 50), name(150, 2)], 300, 300, 20), [
    null,
    null,
    [24, 0],
    [0, 10],
  ]);
  assert.deepEqual(placeNames([name(50, 50, 500)], 300, 300, 20), [null]); // wider than the map
});

test("a name keeps clear of what stands on the map already", () => {
  const taken = [{ left: 0, top: 280, width: 200, height: 20 }];
  const [move] = placeNames([name(60, 288)], 300, 300, 40, taken);
  assert.deepEqual(move, [0, -18]);
  assert.deepEqual(placeNames([name(60, 288)], 300, 300, 10, taken), [null]);
});
