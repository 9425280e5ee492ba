import assert from "node:assert/strict";
import { test } from "node:test";

import { findRows, tokens } from "../../dashboard/components/embedding_map/query.js";
import { lastCondition, MOST_SUGGESTIONS, suggestions } from "../../dashboard/components/embedding_map/suggestions.js";

const CLASSES = ["cat", "dog", "hot dog", "black and white"];
const COUNT = 40;
const rows = Array.from({ length: COUNT }, (_, row) => row);
const hue = Float32Array.from(rows, (row) => (row === 7 ? Number.NaN : row / (COUNT - 1)));
const SHAPES = ["star", "ring", "cross"];
const source = {
  count: COUNT,
  ids: Int32Array.from(rows, (row) => 3 * row),
  labels: Int32Array.from(rows, (row) => (row === 39 ? -1 : row % CLASSES.length)),
  classes: CLASSES,
  files: rows.map((row) => `test/${CLASSES[row % 4].replaceAll(" ", "_")}/IMG_${String(row).padStart(4, "0")}.jpg`),
  fields: [
    { name: "hue", label: "Hue of the shape", kind: "number", words: [], low: 0, high: 1, values: hue },
    {
      name: "shape",
      label: "Shape",
      kind: "word",
      words: SHAPES,
      low: 0,
      high: 0,
      values: Uint8Array.from(rows, (row) => row % 3),
    },
    {
      name: "position_x",
      label: "Position",
      kind: "number",
      words: [],
      low: -1,
      high: 1,
      values: Float32Array.from(rows, (row) => row / 20 - 1),
    },
  ],
  tags: [{ name: "odd ones", rows: Uint8Array.from(rows, (row) => Number(row < 5)) }],
};
const found = (text, from = source) => {
  const { rows: is, number, error } = findRows(text, from);
  const list = [...is.keys()].filter((row) => is[row]);
  assert.equal(list.length, number);
  assert.equal(Boolean(error), Boolean(text.trim()) && number === 0, text); // a sentence just where nothing is found
  return list;
};
const where = (holds) => rows.filter(holds);
const error = (text, from = source) => {
  assert.deepEqual(found(text, from), []);
  return findRows(text, from).error;
};

test("an empty text finds nothing and complains of nothing", () => {
  assert.deepEqual(findRows("  ", source), { rows: new Uint8Array(COUNT), number: 0, error: "" });
});

test("a name finds its class, or all classes and files that hold it", () => {
  const ofClass = (place) => where((row) => source.labels[row] === place);
  assert.deepEqual(found("dog"), ofClass(1)); // and not the hot dogs
  assert.deepEqual(found(" HOT  Dog"), ofClass(2));
  assert.deepEqual(found("black and white"), ofClass(3)); // no condition "black", and no condition "white"
  assert.deepEqual(
    found("og"),
    where((row) => row % 4 === 1 || row % 4 === 2),
  );
  assert.deepEqual(found("img_0012"), [12]);
  assert.deepEqual(
    found("star"),
    where((row) => row % 3 === 0),
  );
  assert.deepEqual(found("odd ones"), [0, 1, 2, 3, 4]);
  assert.deepEqual(
    found("class = dog or class = cat"),
    where((row) => row < 39 && row % 4 < 2),
  );
  assert.deepEqual(found('"dog"'), ofClass(1));
});

test("a number finds the image of this number, and the file", () => {
  assert.deepEqual(found("9", { ...source, files: [] }), [3]);
  assert.deepEqual(found("#9", { ...source, files: [] }), [3]);
  assert.deepEqual(found("9"), [3, 9]); // IMG_0009
  assert.deepEqual(found("id = 9"), [3]);
  assert.deepEqual(found("id >= 111"), [37, 38, 39]);
  assert.deepEqual(found("image < 6"), [0, 1]);
});

test("conditions compare as plain code does; an unknown value meets none", () => {
  const compare = {
    "<": (a, b) => a < b,
    "<=": (a, b) => a <= b,
    ">": (a, b) => a > b,
    ">=": (a, b) => a >= b,
    "!=": (a, b) => a !== b,
    "=": (a, b) => a === b,
  };
  for (const [sign, holds] of Object.entries(compare)) {
    for (const limit of ["0.5", "1", ".25", "2e-1", "+0", "-0.35"]) {
      for (const field of [source.fields[0], source.fields[2]]) {
        const expected = where(
          (row) => !Number.isNaN(field.values[row]) && holds(field.values[row], Math.fround(Number(limit))),
        );
        assert.deepEqual(
          findRows(`${field.name}${sign}${limit}`, source).rows,
          Uint8Array.from(rows, (row) => Number(expected.includes(row))),
          `${field.name} ${sign} ${limit}`,
        );
      }
    }
  }
  assert.equal(found("hue = 0").length, 1);
  assert.deepEqual(found("hue >= 0").includes(7), false);
  assert.deepEqual(found("hue != 0").includes(7), false);
  assert.deepEqual(found("hue ≥ 0.9"), found("hue >= .9"));
  assert.deepEqual(found("Hue of the shape > 0.5"), found("hue > 0.5"));
  assert.deepEqual(found("Position_X = -1"), [0]);
});

test("and binds more strongly than or", () => {
  const expected = where((row) => row % 3 === 0 || (row % 3 === 1 && row > 19.5 && row !== 7));
  assert.deepEqual(found("shape = star or shape = ring and hue > 0.5"), expected);
  assert.deepEqual(found("hue > 0.5 and shape = ring OR star"), expected);
  assert.deepEqual(found("tag = odd ones and shape != star"), [1, 2, 4]);
  assert.deepEqual(found("tag != odd ones").length, 35);
  assert.deepEqual(found("file = 0012 or file = 0013"), [12, 13]);
});

test("what cannot be read or is nowhere gives one sentence with what is allowed", () => {
  assert.match(error("hue > 5"), /^No image has hue > 5: hue goes from 0 to 1 here\.$/);
  assert.match(error("hue > 0,5"), /compared with “0,5”; allowed: a number, here from 0 to 1\./);
  assert.match(error("huee > 0.5"), /“huee” is no property.*allowed: class, id, file, tag, hue, shape, position_x\./);
  assert.match(error("shape = circle"), /shape is never “circle”; allowed: star, ring, cross\./);
  assert.match(error("shape > star"), /words and no numbers: allowed are = and !=, not >\./);
  assert.match(error("hue >"), /After hue > something is missing/);
  assert.match(error("> 0.5"), /cannot be read; allowed/);
  assert.match(error("0.2 < hue < 0.5"), /cannot be read; allowed/);
  assert.match(error("and"), /stands a condition/);
  assert.match(error("hue > 0.5 and"), /stands a condition/);
  assert.match(error('class = "cat'), /quotation mark/);
  assert.match(
    error("zebra"),
    /Nothing here is called “zebra”; allowed: a class, the number of an image, a part of a file's name, or a condition such as hue > 0\.5\./,
  );
  assert.match(error("tag = new"), /no tag “new”; allowed: odd ones\./);
  assert.match(error("tag = new", { ...source, tags: [] }), /no tag yet/);
  assert.match(error("file = x", { ...source, files: [] }), /no files of their own/);
  assert.match(error("id = cat"), /id is compared with “cat”/);
  assert.match(error("hue > 0.9 and id < 9"), /No image meets all of this at once\./);
  for (const text of ["hue > 0,5", "x = 1", "zebra", '"', "= =", "or or"])
    assert.equal(error(text).split(/[.!?] /).length, 1);
});

test("nothing that is typed makes it fail", () => {
  const signs = ['"', "=", "<", ">", "!", " ", "and", "or", "hue", "7", ".", "(", "\\", "*", "ä", "class", "=="];
  let seed = 1;
  for (let n = 0; n < 3000; n++) {
    let text = "";
    for (let k = 0; k < 7; k++) {
      seed = (seed * 48271) % 2147483647;
      text += signs[seed % signs.length];
    }
    const { rows: is, number, error: why } = findRows(text, source);
    assert.equal(
      is.reduce((sum, each) => sum + each, 0),
      number,
    );
    assert.equal(why === "", number > 0 || !text.trim());
    suggestions(text, source);
  }
  assert.deepEqual(
    tokens("a!=b").map(({ kind }) => kind),
    ["text", "operator", "text"],
  );
});

test("suggestions can be typed, find something, and fit what stands there", () => {
  for (const text of [
    "",
    "d",
    "do",
    "hu",
    "Hue o",
    "st",
    "ta",
    "shape =",
    "shape = r",
    "class = ",
    "hue >",
    "tag = ",
    "img_00",
    "12",
    "hue > 0.5 and sh",
    "cat or ",
    "black",
  ]) {
    const list = suggestions(text, source);
    assert.ok(list.length > 0 && list.length <= MOST_SUGGESTIONS, text);
    for (const { text: next, label, note } of list) {
      assert.ok(label && note && next.endsWith(label));
      assert.ok(next.startsWith(lastCondition(text).before));
      if (!next.endsWith("= "))
        assert.ok(findRows(next, source).number > 0, `${text} -> ${next}: ${findRows(next, source).error}`);
    }
    assert.equal(new Set(list.map(({ text: next }) => next)).size, list.length);
  }
  assert.deepEqual(
    suggestions("do", source)
      .slice(0, 2)
      .map(({ label }) => label),
    ["dog", "hot dog"],
  );
  assert.deepEqual(suggestions("hue > 0.5 and sh", source)[0].text, "hue > 0.5 and shape = star");
  assert.deepEqual(
    suggestions("shape = r", source).map(({ label }) => label),
    ["shape = ring", "shape = star", "shape = cross"],
  );
  assert.deepEqual(suggestions("class = bl", source)[0].text, 'class = "black and white"');
  assert.deepEqual(suggestions("qqq", source), []);
});
