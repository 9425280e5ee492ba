// Points on a plane: the nearest one, and those inside a lasso.

/** @import { Box, Grid, Numbers, Point } from "./types.js" */

const POINTS_PER_CELL = 3;
const MAX_CELLS_A_SIDE = 400;

/** @param {Numbers} points @returns {Box} */
export function bounds(points) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i];
    const y = points[i + 1];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < low) low = y;
    if (y > high) high = y;
  }
  if (!(right >= left)) return { x: 0, y: 0, width: 1, height: 1 };
  return { x: (left + right) / 2, y: (low + high) / 2, width: right - left || 1, height: high - low || 1 };
}

/**
 * Points sorted into square cells: those of cell c are items[start[c]] to items[start[c + 1] - 1].
 * @param {Numbers} points @returns {Grid}
 */
export function makeGrid(points) {
  const box = bounds(points);
  const count = points.length / 2;
  const smallest = Math.max(box.width, box.height) / MAX_CELLS_A_SIDE;
  const cell = Math.max(smallest, Math.sqrt((box.width * box.height * POINTS_PER_CELL) / Math.max(1, count)));
  const left = box.x - box.width / 2;
  const low = box.y - box.height / 2;
  const columns = Math.floor(box.width / cell) + 1;
  const rows = Math.floor(box.height / cell) + 1;
  const start = new Uint32Array(columns * rows + 1);
  const items = new Uint32Array(count);
  const cells = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const column = Math.min(columns - 1, Math.max(0, Math.floor((points[2 * i] - left) / cell)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor((points[2 * i + 1] - low) / cell)));
    cells[i] = row * columns + column;
    start[cells[i] + 1]++;
  }
  for (let c = 0; c < columns * rows; c++) start[c + 1] += start[c];
  const next = start.slice();
  for (let i = 0; i < count; i++) items[next[cells[i]]++] = i;
  return { left, low, cell, columns, rows, start, items };
}

/**
 * The point of least cost(index), if that is below `most`; -1 without. A cost may not be less than the larger of
 * the distances from (x, y) along the two axes: cells too far away are then left out.
 * @param {Grid} grid @param {number} x @param {number} y @param {number} most @param {(index: number) => number} cost
 */
export function search(grid, x, y, most, cost) {
  const { cell, columns, rows, start, items } = grid;
  const middleColumn = Math.min(columns - 1, Math.max(0, Math.floor((x - grid.left) / cell)));
  const middleRow = Math.min(rows - 1, Math.max(0, Math.floor((y - grid.low) / cell)));
  let best = -1;
  let least = most;
  const visit = (/** @type {number} */ column, /** @type {number} */ row) => {
    if (column < 0 || column >= columns) return;
    const c = row * columns + column;
    for (let k = start[c]; k < start[c + 1]; k++) {
      const value = cost(items[k]);
      if (value < least) [best, least] = [items[k], value];
    }
  };
  for (let ring = 0; ring <= Math.max(columns, rows) && (ring - 1) * cell < least; ring++) {
    for (let row = Math.max(0, middleRow - ring); row <= Math.min(rows - 1, middleRow + ring); row++) {
      if (Math.abs(row - middleRow) === ring) {
        for (let column = middleColumn - ring; column <= middleColumn + ring; column++) visit(column, row);
      } else {
        visit(middleColumn - ring, row);
        visit(middleColumn + ring, row);
      }
    }
  }
  return best;
}

/**
 * 1 for each point inside the closed polygon [[x, y], ...], by the even-odd rule.
 * @param {Numbers} points @param {Point[]} polygon
 */
export function insideLasso(points, polygon) {
  const found = new Uint8Array(points.length / 2);
  const corners = new Float64Array(polygon.flat());
  const box = bounds(corners);
  const left = box.x - box.width / 2;
  const right = box.x + box.width / 2;
  const low = box.y - box.height / 2;
  const high = box.y + box.height / 2;
  for (let i = 0; i < found.length; i++) {
    const x = points[2 * i];
    const y = points[2 * i + 1];
    if (x < left || x > right || y < low || y > high) continue;
    let inside = 0;
    for (let a = 0, b = corners.length - 2; a < corners.length; b = a, a += 2) {
      const above = corners[a + 1] > y;
      if (
        above !== corners[b + 1] > y &&
        x < ((corners[b] - corners[a]) * (y - corners[a + 1])) / (corners[b + 1] - corners[a + 1]) + corners[a]
      ) {
        inside ^= 1;
      }
    }
    found[i] = inside;
  }
  return found;
}
