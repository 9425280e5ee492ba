import assert from "node:assert/strict";
import { test } from "node:test";

import { contrastRatio, readable, rgb } from "../../dashboard/components/common/theme.js";
import { randomNumbers } from "./random.js";

test("contrast is as WCAG 2 defines it", () => {
  assert.equal(contrastRatio([0, 0, 0], [255, 255, 255]), 21);
  assert.equal(contrastRatio([12, 99, 4], [12, 99, 4]), 1);
  // two examples of https://webaim.org/resources/contrastchecker
  assert.ok(Math.abs(contrastRatio(rgb("#767676"), rgb("#ffffff")) - 4.54) < 0.01);
  assert.ok(Math.abs(contrastRatio(rgb("#ffffff"), rgb("#0000ff")) - 8.59) < 0.01);
});

test("text in any colour can be read on a light and on a dark page", () => {
  const random = randomNumbers(1);
  for (let attempt = 0; attempt < 300; attempt++) {
    const color = [0, 1, 2].map(() => Math.floor(256 * random()));
    for (const page of ["#ffffff", "#10151c"]) assert.ok(contrastRatio(readable(color, rgb(page)), rgb(page)) >= 4.5);
  }
});

test("a colour that can be read stays as it is", () => {
  assert.deepEqual(readable(rgb("#953307"), rgb("#ffffff")), rgb("#953307"));
  assert.deepEqual(readable(rgb("#f19d9d"), rgb("#10151c")), rgb("#f19d9d"));
});
