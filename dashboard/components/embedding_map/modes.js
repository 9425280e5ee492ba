// Where the name of a class stands on a map: at the densest place of the class, if it has one of its own.
//
// A name at the densest place of a class that lies everywhere would claim what is not there. So a class has a mode only
// where a small circle around its densest place
// - holds enough of it: LEAST_SHARE of its images, and at least LEAST_IMAGES;
// - is its own: it holds that share and TIMES as large a share as of the images of all other classes, or as of images
//   spread evenly over the map, whichever is larger;
// - is no chance: if the classes were handed out to the points at random, so many images of the class would be among
//   those in the circle with a probability of at most CHANCE (binomial): that small, since each class looks for the
//   densest of many places.
// Measured with classes shuffled over the points of 16 maps of ten classes (PCA, UMAP, t-SNE; 410 to 10,000 images): at most
// 0.05 names a map. Without the last rule it is up to 1 on maps of 410 images.

/** @import { Box, Modes, Numbers, Point } from "./types.js" */

export const RADIUS_SHARE = 1 / 12; // of the map's longer side
export const LEAST_SHARE = 0.15;
export const TIMES = 3;
const LEAST_IMAGES = 5;
const CHANCE = 1e-4;
const KEEP = 0.7; // of these limits, where a film has shown the name in the frame before: it does not come and go
const BETTER = 1.3; // times as many images around another place make a name leave its own
const CELLS = 2; // of the grid in a radius
const MAX_SHIFTS = 12;

/**
 * How far around its densest place a class is looked at, in the map's own units.
 * @param {Box} box
 */
export function modeRadius(box) {
  return RADIUS_SHARE * Math.max(box.width, box.height);
}

/**
 * Whether a class has a mode in a circle that holds `inside` images, `own` of them of the class.
 * @param {number} own @param {number} inside @param {number} classSize images of the class @param {number} count all
 *   images @param {number} evenShare of the map's area that the circle covers @param {number} [part] of the limits
 */
export function isMode(own, inside, classSize, count, evenShare, part = 1) {
  const share = own / classSize;
  const others = count > classSize ? (inside - own) / (count - classSize) : 0;
  return (
    own >= LEAST_IMAGES &&
    share >= part * LEAST_SHARE &&
    share >= part * TIMES * Math.max(others, evenShare) &&
    (classSize === count || binomialTail(own, inside, classSize / count) <= CHANCE ** part)
  );
}

/**
 * The probability of `number` or more of `trials` that each happen with `probability`.
 * @param {number} number @param {number} trials @param {number} probability
 */
export function binomialTail(number, trials, probability) {
  if (number <= trials * probability) return 1; // more than half of it, but no more needs to be known
  let logarithm = number * Math.log(probability) + (trials - number) * Math.log1p(-probability);
  for (let k = 1; k <= number; k++) logarithm += Math.log((trials - number + k) / k);
  let term = Math.exp(logarithm);
  let sum = 0;
  for (let k = number; k <= trials && term > 0; k++) {
    sum += term;
    term *= (((trials - k) / (k + 1)) * probability) / (1 - probability);
  }
  return sum;
}

/**
 * The rows of each group.
 * @param {ArrayLike<number>} groups -1 for none @param {number} numGroups
 */
function rowsByGroup(groups, numGroups) {
  const sizes = new Uint32Array(numGroups);
  for (let i = 0; i < groups.length; i++) if (groups[i] >= 0) sizes[groups[i]]++;
  const found = Array.from(sizes, (size) => new Uint32Array(size));
  for (let i = groups.length - 1; i >= 0; i--) if (groups[i] >= 0) found[groups[i]][--sizes[groups[i]]] = i;
  return found;
}

/**
 * The place around which the points of some rows lie most densely, on a grid of half a radius.
 * @param {Numbers} points @param {Uint32Array} rows @param {number} radius @returns {Point}
 */
function densest(points, rows, radius) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const i of rows) {
    left = Math.min(left, points[2 * i]);
    right = Math.max(right, points[2 * i]);
    low = Math.min(low, points[2 * i + 1]);
    high = Math.max(high, points[2 * i + 1]);
  }
  const cell = radius / CELLS;
  const columns = Math.floor((right - left) / cell) + 1;
  const lines = Math.floor((high - low) / cell) + 1;
  const weights = new Float32Array(columns * lines);
  for (const i of rows) {
    const x = (points[2 * i] - left) / cell;
    const y = (points[2 * i + 1] - low) / cell;
    for (let line = Math.max(0, Math.ceil(y - CELLS)); line <= Math.min(lines - 1, y + CELLS); line++) {
      for (let column = Math.max(0, Math.ceil(x - CELLS)); column <= Math.min(columns - 1, x + CELLS); column++) {
        const away = ((column - x) ** 2 + (line - y) ** 2) / CELLS ** 2;
        if (away < 1) weights[line * columns + column] += 1 - away; // Epanechnikov's kernel
      }
    }
  }
  let best = 0;
  for (let place = 1; place < weights.length; place++) if (weights[place] > weights[best]) best = place;
  return [left + (best % columns) * cell, low + Math.floor(best / columns) * cell];
}

/**
 * The rows whose points lie in a circle.
 * @param {Numbers} points @param {Uint32Array} rows @param {number} radius @param {Point} middle
 */
function within(points, rows, radius, [x, y]) {
  const found = [];
  for (const i of rows) {
    const dx = points[2 * i] - x;
    const dy = points[2 * i + 1] - y;
    if (dx * dx + dy * dy <= radius * radius) found.push(i);
  }
  return found;
}

/** @param {Numbers} points @param {number[]} rows @returns {Point} */
function middleOf(points, rows) {
  let [x, y] = [0, 0];
  for (const i of rows) {
    x += points[2 * i] / rows.length;
    y += points[2 * i + 1] / rows.length;
  }
  return [x, y];
}

/**
 * From a place to the middle of the points around it, again and again (mean shift, Comaniciu and Meer 2002); with the
 * rows that are around it then.
 * @param {Numbers} points @param {Uint32Array} rows @param {number} radius @param {Point} start
 */
function climb(points, rows, radius, start) {
  let at = start;
  let near = within(points, rows, radius, at);
  for (let step = 0; step < MAX_SHIFTS && near.length; step++) {
    const next = middleOf(points, near);
    const moved = Math.hypot(next[0] - at[0], next[1] - at[1]);
    at = next;
    near = within(points, rows, radius, at);
    if (moved < 0.01 * radius) break;
  }
  return { at, near };
}

/**
 * The modes of all classes in each frame of a film; a map is a film of one frame. A frame's follow from those before it
 * and never from what comes: a mode goes with the images around it, and jumps only to a place that is clearly denser.
 * @param {Numbers} frames x and y of each image, frame after frame @param {ArrayLike<number>} groups -1 for none
 * @param {number} numGroups @param {Box} box @returns {Modes}
 */
export function findModes(frames, groups, numGroups, box) {
  const count = groups.length;
  const numFrames = count ? Math.floor(frames.length / (2 * count)) : 0;
  const radius = modeRadius(box);
  const evenShare = (Math.PI * radius * radius) / (box.width * box.height);
  const everyRow = Uint32Array.from({ length: count }, (_, i) => i);
  const size = numGroups * numFrames;
  const [x, y] = [new Float32Array(size), new Float32Array(size)];
  const [shown, jumps] = [new Uint8Array(size), new Uint8Array(size)];
  const density = new Float32Array(numGroups);
  rowsByGroup(groups, numGroups).forEach((rows, group) => {
    /** @type {number[]} */
    let core = []; // rows around the mode of the frame before
    for (let frame = 0; frame < numFrames && rows.length >= LEAST_IMAGES; frame++) {
      const points = frames.subarray(2 * count * frame, 2 * count * (frame + 1));
      let found = climb(points, rows, radius, densest(points, rows, radius));
      const carried = core.length ? climb(points, rows, radius, middleOf(points, core)) : null;
      const isKept = carried !== null && found.near.length < BETTER * carried.near.length;
      if (isKept) found = carried;
      const { at, near } = found;
      const part = isKept ? KEEP : 1;
      const isShown =
        near.length >= part * LEAST_SHARE * rows.length &&
        isMode(near.length, within(points, everyRow, radius, at).length, rows.length, count, evenShare, part);
      const place = group * numFrames + frame;
      [x[place], y[place]] = at;
      shown[place] = Number(isShown);
      jumps[place] = Number(carried !== null && !isKept);
      density[group] += isShown ? near.length / numFrames : 0;
      core = isShown ? near : [];
    }
  });
  return { radius, numFrames, x, y, shown, jumps, density };
}

/**
 * Where the name of a group stands at a frame, or between two for a broken number, and how much of it is seen (0..1). It
 * moves as the images do; where it comes, goes or jumps it fades.
 * @param {Modes} modes @param {number} group @param {number} frame
 */
export function modeAt({ numFrames, x, y, shown, jumps }, group, frame) {
  const first = Math.min(Math.max(0, Math.floor(frame)), numFrames - 1);
  const last = Math.min(first + 1, numFrames - 1);
  const part = Math.min(1, Math.max(0, frame - first));
  const from = group * numFrames + first;
  const to = group * numFrames + last;
  if (from === to || (shown[from] && shown[to] && !jumps[to])) {
    return { x: x[from] + (x[to] - x[from]) * part, y: y[from] + (y[to] - y[from]) * part, seen: shown[from] };
  }
  const place = part < 0.5 ? from : to;
  return { x: x[place], y: y[place], seen: shown[place] * Math.abs(2 * part - 1) };
}
