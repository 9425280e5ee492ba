// When points are seen as their images: where there is room for them. The side of the images follows from the points in
// the window alone, so that a view looks the same however it was reached.

/** @import { EmbeddingMap, Frame, Numbers, Panel } from "./types.js" */

export const LEAST_SIDE = 20; // pixels; with less room an image is a dot
export const WHOLE_SIDE = 26; // from here on nothing of the dot is left
// There is room for a side where at most so large a share of the images has more than COVERED of its area under others.
export const MAY_BE_COVERED = 1 / 4;
export const COVERED = 1 / 3;
const MOST_SIDE = 72;
const SIDES_IN_WINDOW = 8;
const STEPS = 8; // of halving; a quarter of a pixel
const HELD = [0.7, 1.4]; // of the side that there is room for, within which it stays while the map is moved
const PART = 0.35; // of the way that the side goes in a frame

/**
 * The largest side for images in a window.
 * @param {Frame} frame
 */
export function mostSide({ width, height }) {
  return Math.max(WHOLE_SIDE, Math.min(MOST_SIDE, Math.round(Math.min(width, height) / SIDES_IN_WINDOW)));
}

/**
 * The largest side, from `least` to `most` pixels, that there is room for; 0 where there is none for `least`.
 * @param {Numbers} places x and y of the images' middles in pixels, in the order of drawing @param {number} least
 * @param {number} most
 */
export function sideWithRoom(places, least, most) {
  const count = places.length / 2;
  if (!count) return 0;
  const rising = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => places[2 * a] - places[2 * b]);
  /** @type {number[]} */
  let pairs = []; // the image below, and how far the one above lies from it to the side and up or down
  const findPairs = (/** @type {number} */ reach) => {
    pairs = [];
    for (let k = 0; k < count; k++) {
      const first = rising[k];
      for (let next = k + 1; next < count; next++) {
        const other = rising[next];
        const dx = places[2 * other] - places[2 * first];
        if (dx >= reach) break;
        const dy = Math.abs(places[2 * other + 1] - places[2 * first + 1]);
        if (dy < reach) pairs.push(Math.min(first, other), dx, dy);
      }
    }
  };
  const hasRoom = (/** @type {number} */ side) => {
    const covered = new Float32Array(count);
    for (let k = 0; k < pairs.length; k += 3) {
      const [dx, dy] = [pairs[k + 1], pairs[k + 2]];
      if (dx < side && dy < side) covered[pairs[k]] += (1 - dx / side) * (1 - dy / side);
    }
    return covered.reduce((sum, share) => sum + Number(share > COVERED), 0) <= MAY_BE_COVERED * count;
  };
  findPairs(least); // most windows end here
  if (!hasRoom(least)) return 0;
  findPairs(most);
  if (hasRoom(most)) return most;
  let [low, high] = [least, most];
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (hasRoom(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * The side in the next frame on its way to the one that there is room for. While the map is pulled about it stays, unless
 * that is far too large or small: images that swell and shrink under the hand are hard to look at.
 * @param {number} side @param {number} goal @param {boolean} isMoved
 */
export function nextSide(side, goal, isMoved) {
  const isHeld = isMoved && side >= HELD[0] * goal && side <= HELD[1] * goal;
  if (isHeld) return side;
  return Math.abs(goal - side) < 0.5 ? goal : side + (goal - side) * PART;
}

/**
 * The rows in the window in the order of drawing, those at its edge included; none if they are too many for images.
 * @param {EmbeddingMap} map @param {Panel} panel @param {Frame} frame @param {number} hidden level of points that are not
 *   seen
 */
export function rowsInWindow(map, panel, frame, hidden) {
  const { points, levels } = panel;
  const margin = mostSide(frame) / 2;
  const most = ((frame.width + 2 * margin) * (frame.height + 2 * margin)) / LEAST_SIDE ** 2;
  const left = (-margin - frame.x) / frame.scale;
  const right = (frame.width + margin - frame.x) / frame.scale;
  const low = (frame.y - frame.height - margin) / frame.scale;
  const high = (frame.y + margin) / frame.scale;
  const rows = [];
  for (const i of map.order) {
    const x = points[2 * i];
    const y = points[2 * i + 1];
    if (!(x >= left && x <= right && y >= low && y <= high) || levels[i] === hidden) continue;
    rows.push(i);
    if (rows.length > most) return [];
  }
  return rows;
}
