import assert from "node:assert/strict";
import { test } from "node:test";

import { pointsOf } from "../../dashboard/components/sparkline/sparkline.js";

test("a line goes from corner to corner, the highest value on top", () => {
  assert.deepEqual(pointsOf([1, 3, 2]), ["0.00,38.00", "50.00,2.00", "100.00,20.00"]);
});

test("values that are all the same are a line in the middle", () => {
  assert.deepEqual(pointsOf([5, 5]), ["0.00,20.00", "100.00,20.00"]);
});
