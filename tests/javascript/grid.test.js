import assert from "node:assert/strict";
import { test } from "node:test";

import { fitting, linesOf, orderOf, windowOf } from "../../dashboard/components/run_table/grid_lines.js";
import { between, tidy, toggle } from "../../dashboard/components/run_table/grid_picks.js";
import {
  agoText,
  differenceOf,
  durationText,
  numberText,
  pointsText,
  textOf,
} from "../../dashboard/components/run_table/grid_words.js";
import { randomNumbers } from "./random.js";

const share = { name: "accuracy", label: "Accuracy", kind: "share", help: "", rank: 1 };
const rows = {
  ids: ["a", "b", "c", "d"],
  titles: ["run 10", "run 9", "Run 1", "run 2"],
  subs: ["", "", "", ""],
  flags: [0, 0, 0, 0],
  groups: [0, 1, 0, 1],
  cells: {
    accuracy: { values: [0.5, null, 0.7, 0.6], notes: [0, 0, 1, 0], noteWords: ["kNN", "test"] },
    state: { values: [1, 0, 1, 2], words: ["Failed", "Finished", ""] },
  },
};

test("what has no value comes last in both directions, and equal ones stay newest first", () => {
  assert.deepEqual(orderOf(rows, undefined, false), [0, 1, 2, 3]);
  assert.deepEqual(orderOf(rows, share, true), [2, 3, 0, 1]);
  assert.deepEqual(orderOf(rows, share, false), [0, 3, 2, 1]);
  assert.deepEqual(orderOf(rows, { ...share, name: "state", kind: "words" }, false), [1, 0, 2, 3]);
  assert.deepEqual(orderOf(rows, { ...share, name: "state", kind: "words" }, true), [0, 2, 1, 3]);
  assert.deepEqual(orderOf(rows, { ...share, name: "name", kind: "name" }, false), [2, 3, 1, 0]);
});

test("an order of many rows is that of a sort by the values", () => {
  const random = randomNumbers(5);
  const values = Array.from({ length: 2000 }, () => (random() < 0.1 ? null : Math.floor(50 * random())));
  const many = { ...rows, ids: values.map(String), cells: { accuracy: { values } } };
  const found = orderOf(many, share, true).map((row) => values[row]);
  const known = values.filter((value) => value !== null).sort((a, b) => b - a);
  assert.deepEqual(found, [...known, ...values.filter((value) => value === null)]);
});

test("groups stand by their means, hold their rows in order, and those that are closed show none", () => {
  const groups = [
    { key: "x", label: "x", count: 2, spreads: { accuracy: { texts: [], mean: 0.6 } } },
    { key: "y", label: "y", count: 2, spreads: { accuracy: { texts: [], mean: 0.65 } } },
  ];
  const shown = (closed, down) =>
    linesOf(rows, groups, new Set(closed), share, down).map((line) => ("row" in line ? line.row : line.group.key));
  assert.deepEqual(shown([], true), ["y", 3, 1, "x", 2, 0]);
  assert.deepEqual(shown([], false), ["x", 0, 2, "y", 3, 1]);
  assert.deepEqual(shown(["y"], true), ["y", "x", 2, 0]);
});

test("a few lines around those in sight are drawn, whatever the place", () => {
  assert.deepEqual(windowOf(0, 360, 36, 5000), [0, 22]);
  assert.deepEqual(windowOf(36 * 2500, 360, 36, 5000), [2488, 2522]);
  assert.deepEqual(windowOf(1e9, 360, 36, 5000), [4988, 5000]);
  assert.deepEqual(windowOf(0, 360, 36, 0), [0, 0]);
});

test("on a narrow screen the important columns stay, in their order", () => {
  const columns = ["kind", "accuracy", "loss"].map((name) => ({ ...share, name, rank: name === "accuracy" ? 1 : 2 }));
  const widths = new Map(columns.map(({ name }) => [name, 80]));
  const names = (room) => fitting(columns, widths, room).map(({ name }) => name);
  assert.deepEqual(names(300), ["kind", "accuracy", "loss"]);
  assert.deepEqual(names(170), ["kind", "accuracy"]);
  assert.deepEqual(names(100), ["accuracy"]);
  assert.deepEqual(names(10), []);
});

test("a range reaches from the last that was touched, in the order that is shown", () => {
  const grid = {
    rows,
    lines: orderOf(rows, share, true).map((row) => ({ row })),
    placeOf: new Map(rows.ids.map((id, row) => [id, row])),
    memory: { picked: new Set(), closed: new Set(), top: 0 },
    anchor: null,
  };
  toggle(grid, grid.lines[0], false);
  toggle(grid, grid.lines[2], true);
  assert.deepEqual([...grid.memory.picked].sort(), ["a", "c", "d"]);
  assert.deepEqual(between(grid, "a", "d"), ["d", "a"]);
  toggle(grid, { group: { key: "x" }, place: 1 }, false);
  assert.deepEqual([...grid.memory.picked].sort(), ["a", "b", "c", "d"]);
  toggle(grid, { group: { key: "x" }, place: 1 }, false);
  assert.deepEqual([...grid.memory.picked].sort(), ["a", "c"]);
  grid.placeOf = new Map([["c", 0]]);
  tidy(grid);
  assert.deepEqual([...grid.memory.picked], ["c"]);
});

test("values are written as on the other pages", () => {
  assert.deepEqual([42.4, 185, 7800, 273_600].map(durationText), ["42 s", "3 min 05 s", "2 h 10 min", "3 d 4 h"]);
  assert.deepEqual(
    [5, 300, 7300, 180_000].map((s) => agoText(1e9 - s, 1e9)),
    ["just now", "5 min ago", "2 h ago", "2 d ago"],
  );
  assert.deepEqual([3, 0.1, 0.00005, 123456.7, 0.123456].map(numberText), ["3", "0.1", "5.00e-5", "1.23e+5", "0.1235"]);
  assert.deepEqual([0.021, -0.004, 0.0001].map(pointsText), ["+2.1", "−0.4", "0.0"]);
  assert.equal(textOf(share, rows, 0), "50.0 %");
  assert.equal(textOf(share, rows, 1), "–");
});

test("a difference is taken of figures that were measured alike", () => {
  const compared = { ...share, baseline: [0.4, 0] };
  assert.deepEqual(
    rows.ids.map((_, row) => differenceOf(compared, rows, row)?.toFixed(1) ?? null),
    ["0.1", null, null, "0.2"],
  );
  assert.equal(differenceOf(share, rows, 0), null);
});
