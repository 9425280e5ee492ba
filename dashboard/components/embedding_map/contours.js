// Lines of equal density (marching squares, Lorensen and Cline 1987 in two dimensions). A page takes one script, so a
// library such as d3-contour would have to be copied into it; this is shorter, and tested against a slow reference.

/** @import { DensityGrid, Point } from "./types.js" */

// Sides of a cell: 0 below, 1 right, 2 above, 3 left. For each pattern of corners above the level (1: lower left,
// 2: lower right, 4: upper right, 8: upper left) from which side to which the line goes, what is higher on its left.
/** @type {[number, number][][]} */
const PATTERNS = [
  [],
  [[0, 3]],
  [[1, 0]],
  [[1, 3]],
  [[2, 1]],
  [], // 5 and 10 are saddles
  [[2, 0]],
  [[2, 3]],
  [[3, 2]],
  [[0, 2]],
  [],
  [[1, 2]],
  [[3, 1]],
  [[0, 1]],
  [[3, 0]],
  [],
];
// Of a saddle, where its middle is below the level, and where it is above.
/** @type {Record<number, [number, number][][]>} */
const SADDLES = {
  5: [
    [
      [0, 3],
      [2, 1],
    ],
    [
      [0, 1],
      [2, 3],
    ],
  ],
  10: [
    [
      [1, 0],
      [3, 2],
    ],
    [
      [3, 0],
      [1, 2],
    ],
  ],
};

/**
 * Closed lines at which the density passes a level, in the map's units; the last corner is joined to the first. The edge
 * of the grid lies below the level.
 * @param {DensityGrid} grid @param {number} level @returns {Point[][]}
 */
export function contours({ left, low, cell, columns, lines, values }, level) {
  /** @type {Map<number, number>} */
  const next = new Map(); // from the side of a cell to the side where its line goes on; sides have numbers of their own
  const below = (/** @type {number} */ at) => 2 * at; // the side from a node to the right, and the one upwards
  const leftOf = (/** @type {number} */ at) => 2 * at + 1;
  for (let line = 0; line < lines - 1; line++) {
    for (let column = 0; column < columns - 1; column++) {
      const at = line * columns + column;
      const corners = [values[at], values[at + 1], values[at + columns + 1], values[at + columns]];
      const pattern = corners.reduce((sum, value, k) => sum + (value >= level ? 1 << k : 0), 0);
      if (pattern === 0 || pattern === 15) continue;
      const isHigh = (corners[0] + corners[1] + corners[2] + corners[3]) / 4 >= level;
      const sides = [below(at), leftOf(at + 1), below(at + columns), leftOf(at)];
      for (const [from, to] of SADDLES[pattern]?.[Number(isHigh)] ?? PATTERNS[pattern])
        next.set(sides[from], sides[to]);
    }
  }
  const place = (/** @type {number} */ side) => {
    const at = side >> 1;
    const [column, line] = [at % columns, Math.floor(at / columns)];
    const other = values[side & 1 ? at + columns : at + 1];
    const part = (level - values[at]) / (other - values[at]);
    return /** @type {Point} */ ([
      left + (column + (side & 1 ? 0 : part)) * cell,
      low + (line + (side & 1 ? part : 0)) * cell,
    ]);
  };
  /** @type {Point[][]} */
  const found = [];
  while (next.size) {
    const start = /** @type {number} */ (next.keys().next().value);
    /** @type {Point[]} */
    const ring = [];
    for (let side = start; next.has(side); ) {
      ring.push(place(side));
      const to = /** @type {number} */ (next.get(side));
      next.delete(side);
      side = to;
    }
    found.push(ring);
  }
  return found;
}
