// How densely points lie on a map: a kernel density estimate on a grid, in images per unit of area.

/** @import { Box, DensityGrid, Numbers } from "./types.js" */

export const GRID_CELLS = 112; // of the grid, along the map's longer side
const KERNEL_REACH = 3.5; // standard deviations of the kernel that count
const BANDWIDTHS = [1 / 100, 1 / 14]; // least and most, of the map's longer side
const NUM_ASKED = 24; // images whose distances to others are looked at
const MOST_COMPARED = 500; // and with how many of them

/**
 * The standard deviation of the Gaussian kernel: half the median distance from an image to the k-th nearest one, where k
 * is the root of their number (Loftsgaarden and Quesenberry 1965). It follows how tightly the images lie where they are,
 * so a class in two small places stays two, and one that lies all over a map has a smooth outline.
 * @param {Numbers} points @param {ArrayLike<number>} rows @param {Box} box
 */
export function bandwidth(points, rows, box) {
  const side = Math.max(box.width, box.height);
  const count = rows.length;
  const near = Math.min(count - 1, Math.round(Math.sqrt(count)));
  const asked = Math.min(count, NUM_ASKED);
  const medians = new Float64Array(asked);
  const distances = new Float64Array(Math.min(count, MOST_COMPARED));
  const part = distances.length / count; // of the images, evenly through the list
  for (let k = 0; k < asked; k++) {
    const own = rows[Math.floor(((k + 0.5) * count) / asked)];
    for (let other = 0; other < distances.length; other++) {
      const row = rows[Math.floor(other / part)];
      distances[other] = (points[2 * row] - points[2 * own]) ** 2 + (points[2 * row + 1] - points[2 * own + 1]) ** 2;
    }
    medians[k] = Math.sqrt(distances.sort()[Math.round(near * part)] ?? 0);
  }
  const median = medians.sort()[asked >> 1] ?? 0;
  return Math.min(BANDWIDTHS[1] * side, Math.max(BANDWIDTHS[0] * side, median / 2));
}

/**
 * The density at the nodes of a grid that reaches beyond the box by the kernel's width, line after line.
 * Each point is shared out to the four nodes around it, then the lines and columns are smoothed.
 * @param {Numbers} points @param {ArrayLike<number>} rows of the points that count @param {Box} box
 * @param {number} sigma @returns {DensityGrid}
 */
export function densityGrid(points, rows, box, sigma) {
  const cell = Math.max(box.width, box.height) / GRID_CELLS;
  const edge = Math.ceil((KERNEL_REACH * sigma) / cell) + 1;
  const columns = Math.ceil(box.width / cell) + 1 + 2 * edge;
  const lines = Math.ceil(box.height / cell) + 1 + 2 * edge;
  const left = box.x - box.width / 2 - edge * cell;
  const low = box.y - box.height / 2 - edge * cell;
  const counts = new Float32Array(columns * lines);
  for (let k = 0; k < rows.length; k++) {
    const x = (points[2 * rows[k]] - left) / cell;
    const y = (points[2 * rows[k] + 1] - low) / cell;
    if (!(x >= 0 && y >= 0 && x < columns - 1 && y < lines - 1)) continue;
    const [column, line] = [Math.floor(x), Math.floor(y)];
    const [right, up] = [x - column, y - line];
    const at = line * columns + column;
    counts[at] += (1 - right) * (1 - up);
    counts[at + 1] += right * (1 - up);
    counts[at + columns] += (1 - right) * up;
    counts[at + columns + 1] += right * up;
  }
  const reach = Math.ceil((KERNEL_REACH * sigma) / cell);
  const kernel = Float32Array.from({ length: 2 * reach + 1 }, (_, k) =>
    Math.exp(-0.5 * (((k - reach) * cell) / sigma) ** 2),
  );
  const total = kernel.reduce((sum, value) => sum + value, 0);
  for (let k = 0; k < kernel.length; k++) kernel[k] /= total * cell; // twice: per unit of area
  const halfway = smooth(counts, columns, lines, 1, columns, kernel, reach);
  return { left, low, cell, columns, lines, values: smooth(halfway, lines, columns, columns, 1, kernel, reach) };
}

/**
 * Smooths `lines` runs of `length` values each, which lie `step` apart, the runs `stride` apart.
 * @param {Float32Array} values @param {number} length @param {number} lines @param {number} step @param {number} stride
 * @param {Float32Array} kernel @param {number} reach
 */
function smooth(values, length, lines, step, stride, kernel, reach) {
  const found = new Float32Array(values.length);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < length; i++) {
      const value = values[line * stride + i * step];
      if (!value) continue; // most of a map is empty
      const first = Math.max(0, i - reach);
      const last = Math.min(length - 1, i + reach);
      for (let j = first; j <= last; j++) found[line * stride + j * step] += value * kernel[j - i + reach];
    }
  }
  return found;
}

/**
 * The density at a place, between the four nodes around it.
 * @param {DensityGrid} grid @param {number} x @param {number} y
 */
export function densityAt({ left, low, cell, columns, lines, values }, x, y) {
  const [across, above] = [(x - left) / cell, (y - low) / cell];
  if (!(across >= 0 && above >= 0 && across < columns - 1 && above < lines - 1)) return 0;
  const [column, line] = [Math.floor(across), Math.floor(above)];
  const [right, up] = [across - column, above - line];
  const at = line * columns + column;
  const lower = values[at] * (1 - right) + values[at + 1] * right;
  const upper = values[at + columns] * (1 - right) + values[at + columns + 1] * right;
  return lower * (1 - up) + upper * up;
}

/**
 * The density that at least `share` of some points reach: what lies above it is the smallest region that holds them
 * (highest density region, Hyndman 1996).
 * @param {DensityGrid} grid @param {Numbers} points @param {ArrayLike<number>} rows @param {number} share
 */
export function levelHolding(grid, points, rows, share) {
  const found = new Float64Array(rows.length);
  for (let k = 0; k < rows.length; k++) found[k] = densityAt(grid, points[2 * rows[k]], points[2 * rows[k] + 1]);
  found.sort();
  return found[Math.floor((1 - share) * rows.length + 1e-9)] ?? 0;
}
