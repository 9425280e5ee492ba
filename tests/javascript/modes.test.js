import assert from "node:assert/strict";
import { test } from "node:test";

import { bounds } from "../../dashboard/components/embedding_map/geometry.js";
import { binomialTail, findModes, isMode, modeAt, modeRadius } from "../../dashboard/components/embedding_map/modes.js";
import { randomNumbers } from "./random.js";

const BOX = { x: 0, y: 0, width: 24, height: 24 }; // a radius of 2

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// Points around the middle that `where(group)` gives, `count` of each group in turn.
function clouds(count, numGroups, spread, seed, where) {
  const random = randomNumbers(seed);
  const groups = Int32Array.from({ length: count * numGroups }, (_, i) => i % numGroups);
  const points = Float32Array.from({ length: 2 * groups.length }, (_, k) => {
    return where(groups[k >> 1], k >> 1)[k & 1] + spread * normal(random);
  });
  return { points, groups };
}

function shuffled(values, random) {
  const found = Int32Array.from(values);
  for (let i = found.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [found[i], found[other]] = [found[other], found[i]];
  }
  return found;
}

const circle = (group, radius = 8) => [radius * Math.cos(group), radius * Math.sin(group)];
const sum = (values) => values.reduce((total, value) => total + value, 0);

test("a class that lies together has its mode in its middle", () => {
  const { points, groups } = clouds(80, 6, 0.7, 1, (group) => circle(group));
  const { x, y, shown } = findModes(points, groups, 6, BOX);
  assert.deepEqual([...shown], Array(6).fill(1));
  for (let group = 0; group < 6; group++) {
    const [middleX, middleY] = circle(group);
    assert.ok(Math.hypot(x[group] - middleX, y[group] - middleY) < 0.4);
  }
});

test("of two places of a class the denser one is its mode", () => {
  const { points, groups } = clouds(90, 2, 0.6, 2, (group, i) => (group ? circle(i) : [i % 3 ? -5 : 5, 0]));
  const { x, shown } = findModes(points, groups, 2, BOX);
  assert.equal(shown[0], 1);
  assert.ok(Math.abs(x[0] + 5) < 0.4);
});

test("a class that lies everywhere has no mode, nor has one that lies where all others do", () => {
  const random = randomNumbers(3);
  const groups = Int32Array.from({ length: 2000 }, (_, i) => i % 10);
  const even = Float32Array.from({ length: 4000 }, () => 24 * random() - 12);
  assert.equal(sum(findModes(even, groups, 10, BOX).shown), 0);
  const heap = Float32Array.from({ length: 4000 }, () => 1.5 * normal(random)); // dense, but for all alike
  assert.equal(sum(findModes(heap, groups, 10, BOX).shown), 0);
  // one class apart: it alone has a mode
  for (let i = 0; i < 2000; i += 10) heap[2 * i] += 9;
  assert.deepEqual([...findModes(heap, groups, 10, BOX).shown], [1, ...Array(9).fill(0)]);
});

test("classes handed out at random to the points of a map hardly ever have modes", () => {
  const random = randomNumbers(4);
  const crumbs = (_, i) => [((7 * i) % 23) - 11, ((5 * i) % 23) - 11]; // 23 small heaps
  const flat = () => [22 * random() - 11, 22 * random() - 11];
  for (const [count, where] of [
    [41, circle],
    [41, crumbs],
    [41, flat],
    [200, flat],
  ]) {
    let found = 0;
    for (let attempt = 0; attempt < 40; attempt++) {
      const { points, groups } = clouds(count, 10, 0.6, 5 + attempt, where);
      found += sum(findModes(points, shuffled(groups, random), 10, BOX).shown);
    }
    assert.ok(found / 40 <= 0.1, `${found / 40} names a map`);
  }
});

test("the tail of a binomial distribution is the sum of its terms", () => {
  const choose = (n, k) => (k ? (choose(n, k - 1) * (n - k + 1)) / k : 1);
  for (const [number, trials, probability] of [
    [7, 20, 0.1],
    [20, 20, 0.3],
    [12, 60, 0.1],
  ]) {
    let wanted = 0;
    for (let k = number; k <= trials; k++) {
      wanted += choose(trials, k) * probability ** k * (1 - probability) ** (trials - k);
    }
    assert.ok(Math.abs(binomialTail(number, trials, probability) / wanted - 1) < 1e-9);
  }
  assert.ok(binomialTail(1500, 10_000, 0.1) < 1e-40); // and no sum runs over
  assert.equal(binomialTail(2, 50, 0.1), 1);
});

test("the limits of a mode", () => {
  const even = 0.02;
  assert.ok(isMode(20, 22, 100, 1000, even));
  assert.ok(!isMode(14, 15, 100, 1000, even)); // a fifth of the class is not there
  assert.ok(!isMode(20, 90, 100, 1000, even)); // 70 of 900 others are, a share of 8 %
  assert.ok(!isMode(20, 22, 100, 1000, 0.07)); // an even spread would give 7 %
  assert.ok(!isMode(4, 4, 5, 50, even)); // too few to tell
  assert.ok(!isMode(7, 25, 40, 400, even)); // 2.5 by chance, and 7 in one circle of a hundred
  assert.ok(isMode(940, 941, 950, 1000, 0.02)); // one of 50 others: also where a class is most of the images
  assert.ok(isMode(14, 15, 100, 1000, even, 0.7)); // a film keeps it
});

test("images without a class count among the others, and a map without images has no modes", () => {
  const { points, groups } = clouds(60, 3, 0.6, 6, (group) => circle(group));
  const one = groups.map((group) => (group === 1 ? 0 : -1));
  assert.deepEqual([...findModes(points, one, 1, BOX).shown], [1]);
  assert.deepEqual([...findModes(new Float32Array(0), new Int32Array(0), 2, bounds(new Float32Array(0))).shown], []);
});

test("a single class has a mode where it is denser than an even spread would be", () => {
  const { points, groups } = clouds(200, 1, 1, 7, () => [3, 3]);
  assert.deepEqual([...findModes(points, groups, 1, BOX).shown], [1]);
  const random = randomNumbers(8);
  const even = Float32Array.from({ length: 400 }, () => 24 * random() - 12);
  assert.deepEqual([...findModes(even, groups, 1, BOX).shown], [0]);
});

// Three groups whose middles are on a circle that turns by `turn` a frame, with a noise of their own in each frame.
function turning(numFrames, turn, spread, seed) {
  const frames = Array.from({ length: numFrames }, (_, frame) =>
    clouds(50, 3, spread, seed + frame, (group) => circle(2 * group + turn * frame)),
  );
  const points = new Float32Array(frames.flatMap((each) => [...each.points]));
  return { points, groups: frames[0].groups };
}

test("in a film a name goes with its images, and moves between two frames as they do", () => {
  const { points, groups } = turning(12, 0.4, 0.6, 9); // 1.6 radii a frame
  const modes = findModes(points, groups, 3, BOX);
  assert.equal(sum(modes.shown), 36);
  assert.equal(sum(modes.jumps), 0);
  for (let frame = 0; frame <= 10; frame += 0.25) {
    const { x, y, seen } = modeAt(modes, 1, frame);
    const next = modeAt(modes, 1, frame + 0.25);
    assert.equal(seen, 1);
    assert.ok(Math.hypot(next.x - x, next.y - y) < 1.2);
  }
});

test("a name does not change between two places that are alike", () => {
  const numFrames = 30;
  const frames = Array.from({ length: numFrames }, (_, frame) =>
    clouds(60, 2, 0.5, 20 + frame, (group, i) => (group ? [0, 9] : [(i >> 1) % 2 ? -6 : 6, 0])),
  );
  const points = new Float32Array(frames.flatMap((each) => [...each.points]));
  const modes = findModes(points, frames[0].groups, 2, BOX);
  assert.equal(sum(modes.shown), 2 * numFrames);
  assert.equal(sum(modes.jumps), 0);
  const xs = modes.x.subarray(0, numFrames);
  assert.ok(xs.every((x) => Math.abs(x - xs[0]) < 1));
});

test("a name that has come stays a little longer than it takes to come", () => {
  const film = (numbers) => {
    const frames = numbers.map((number, frame) =>
      clouds(100, 2, 0.3, 40 + frame, (group, i) => (group || i >> 1 >= number ? circle(i) : [0, 0])),
    );
    return findModes(new Float32Array(frames.flatMap((each) => [...each.points])), frames[0].groups, 2, BOX).shown;
  };
  assert.deepEqual([...film([30, 14, 30])].slice(0, 3), [1, 1, 1]);
  assert.deepEqual([...film([14, 30, 5])].slice(0, 3), [0, 1, 0]);
});

test("a name leaves for a place that is clearly denser, and fades on its way", () => {
  const moved = [6, 6, 20, 45, 45]; // of 60 images, to the right
  const frames = moved.map((number, frame) =>
    clouds(60, 2, 0.5, 60 + frame, (group, i) => (group ? [0, 9] : [i >> 1 < number ? 6 : -6, 0])),
  );
  const points = new Float32Array(frames.flatMap((each) => [...each.points]));
  const modes = findModes(points, frames[0].groups, 2, BOX);
  assert.deepEqual([...modes.shown.subarray(0, 5)], [1, 1, 1, 1, 1]);
  assert.deepEqual([...modes.jumps.subarray(0, 5)], [0, 0, 0, 1, 0]);
  const path = [2, 2.25, 2.5, 2.75, 3].map((frame) => modeAt(modes, 0, frame));
  assert.deepEqual(
    path.map(({ seen }) => seen),
    [1, 0.5, 0, 0.5, 1],
  );
  assert.ok(path.every(({ x }) => Math.abs(Math.abs(x) - 6) < 0.5)); // never in the middle, where nothing is
});

test("frames that come later change nothing before them", () => {
  const { points, groups } = turning(8, 0.3, 1, 80);
  const whole = findModes(points, groups, 3, BOX);
  const part = findModes(points.subarray(0, 5 * 2 * groups.length), groups, 3, BOX);
  for (let group = 0; group < 3; group++) {
    for (const name of ["x", "y", "shown", "jumps"]) {
      const early = whole[name].slice(8 * group, 8 * group + 5);
      assert.deepEqual(early, part[name].slice(5 * group, 5 * group + 5));
    }
  }
});

test("a radius is a twelfth of the map's longer side", () => {
  assert.equal(modeRadius({ x: 0, y: 0, width: 6, height: 36 }), 3);
});
