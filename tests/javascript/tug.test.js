import assert from "node:assert/strict";
import { test } from "node:test";

import {
  activeTug,
  chosenStrength,
  drawTug,
  noTug,
  tuggedDetails,
  tugStamp,
} from "../../dashboard/components/embedding_map/tug.js";
import { tugAddress, tugFrom, tugText } from "../../dashboard/components/embedding_map/tug_text.js";

const OPERATIONS = [
  { name: "hue", label: "Hue", texts: ["0°", "120°", "240°"], rest: 0, mark: 1 },
  { name: "shift", label: "Shift", texts: ["left", "0 %", "right"], rest: 1, mark: 2 },
];

/** A map with one panel and an image under three strengths of two operations, each with two neighbours. */
function tugged(opened, row = opened) {
  const panel = {
    exact: true,
    average: [0.2, 0.4],
    points: new Float32Array(12),
    moved: Float32Array.from([0, 0.1, 0.2, 0.3, 0, 0.5]),
    neighbors: Int32Array.from([10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61]),
    similarities: Float32Array.from([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
  };
  const loaded = { given: { row, operations: OPERATIONS }, sheet: {}, panels: [panel] };
  const details = { index: 7, facts: [["Size", "0.5"]], neighbors: [[[1, 1]]] };
  return { opened, data: { details }, tug: { ...noTug(), isWanted: true, operation: "hue", source: "a", loaded } };
}

test("a changed image is named in an address and read again; what makes no sense is not", () => {
  assert.deepEqual(tugFrom(tugAddress("hue", 16)), { operation: "hue", place: 16 });
  assert.equal(tugAddress("", 3), "");
  for (const text of ["", "hue", "hue~", "~3", "hue~1e9", "hue~123", "Hue~1", "<b>~1", "hue~-1"]) {
    assert.equal(tugFrom(text), null, text);
  }
});

test("what is said names each model", () => {
  const text = tugText("Hue 180°", ["SimCLR", "From scratch"], [0.2249, 0.991]);
  const parts = "0.22 of the median distance in SimCLR, 0.99 of the median distance in From scratch";
  assert.equal(text, `Hue 180°: moved ${parts}`);
});

test("neighbours follow operation and strength, and facts stay those of the image", () => {
  const map = tugged(7);
  map.tug.place = 2;
  assert.deepEqual(
    tuggedDetails(map).neighbors[0].map(([row]) => row),
    [30, 31],
  );
  assert.deepEqual(tuggedDetails(map).facts, [["Size", "0.5"]]);
  Object.assign(map.tug, { operation: "shift", place: 0 });
  assert.deepEqual(
    tuggedDetails(map).neighbors[0].map(([row, similarity]) => [row, similarity.toFixed(1)]),
    [
      [40, "0.9"],
      [41, "0.8"],
    ],
  );
});

test("an image of the map that is not changed has its own neighbours; one that a user gave has none but these", () => {
  assert.equal(tuggedDetails(tugged(7)), null);
  const guest = tugged(-1);
  assert.deepEqual(
    tuggedDetails(guest).neighbors[0].map(([row]) => row),
    [10, 11],
  );
  assert.deepEqual(tuggedDetails(guest).facts, []);
});

test("nothing is changed before it is wanted, or where another image is open", () => {
  assert.ok(activeTug(tugged(7)));
  const other = tugged(7, 8);
  assert.equal(activeTug(other), null);
  assert.equal(tugStamp(other), "");
  const map = tugged(7);
  map.tug.isWanted = false;
  assert.equal(activeTug(map), null);
  assert.equal(tuggedDetails(map), null);
});

test("a strength that does not exist is the nearest one, an unknown operation the first", () => {
  const map = tugged(7);
  Object.assign(map.tug, { operation: "sharpen", place: 99 });
  const { operation, place, at } = chosenStrength(map, map.tug.loaded);
  assert.deepEqual([operation.name, place, at], ["hue", 2, 2]);
  map.tug.place = 1;
  const stamp = tugStamp(map);
  map.tug.place = 2;
  assert.notEqual(tugStamp(map), stamp);
});

test("a model without an encoder has no neighbours of a changed image, and is not said to have moved", () => {
  const map = tugged(7);
  map.tug.loaded.panels.push(undefined);
  map.tug.place = 2;
  const [known, unknown] = tuggedDetails(map).neighbors;
  assert.equal(known.length, 2);
  assert.equal(unknown, null);
  assert.equal(
    tugText("Hue 180°", ["SimCLR", "dino"], [0.2249, undefined]),
    "Hue 180°: moved 0.22 of the median distance in SimCLR",
  );
});

test("an image that leaves the map is shown at its edge", () => {
  const drawn = [];
  const context = new Proxy(
    {},
    { get: (_, name) => (name === "drawImage" ? (...told) => drawn.push(told) : () => {}) },
  );
  const canvas = { getBoundingClientRect: () => ({ width: 200, height: 100 }) };
  const panel = { canvas, box: { width: 2, height: 2 }, center: { x: 0, y: 0 }, zoom: 1 };
  const given = { row: 3, side: 8, operations: [{ name: "hue", label: "Hue", texts: ["0°", "90°", "180°"], rest: 0 }] };
  const points = new Float32Array([0, 0, 0.5, 0.5, 40, -70]);
  const tug = {
    isWanted: true,
    operation: "hue",
    place: 1,
    loaded: { given, sheet: { bitmap: {} }, panels: [{ exact: true, points }] },
  };
  const map = { panels: [panel], opened: 3, theme: {}, tug };
  drawTug(map, panel, context);
  tug.place = 2;
  drawTug(map, panel, context);
  const [within, left] = drawn.map(([, , , , , x, y, width, height]) => [x, y, x + width, y + height]);
  assert.ok(within[0] > 80 && within[2] < 150 && within[1] > 10 && within[3] < 60);
  assert.ok(left[2] > 190 && left[2] <= 200 && left[3] > 90 && left[3] <= 100);
});
