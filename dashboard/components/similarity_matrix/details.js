// The chosen cell beside the heat map. Texts by textContent.

import { element } from "../common/elements.js";
import { setTile } from "../common/tiles.js";

/** @import { Matrix } from "./types.js" */

const MOST_BARS = 6;

/** @param {Matrix} matrix @param {number} row @param {number} side */
export function tileOf(matrix, row, side) {
  const node = element("span", "tile");
  setTile(node, matrix.data.sprite, row, matrix.data.columns, side);
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", viewName(matrix, row));
  return node;
}

/** @param {Matrix} matrix @param {number} row */
function viewName(matrix, row) {
  return `${matrix.data.titles[row >> 1]}, view ${(row & 1) + 1}`;
}

/** @param {number} value */
export function number(value) {
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(3) : value.toExponential(1);
}

/** @param {number} share */
export function percent(share) {
  return share >= 0.0005 || share === 0 ? `${(100 * share).toFixed(1)} %` : "< 0.1 %";
}

/**
 * The chosen cell: both views, what they are to each other, and the anchor's heaviest negatives.
 * @param {Matrix} matrix
 */
export function describe(matrix) {
  const { detail, num } = matrix;
  if (!matrix.cell) return;
  const [row, column] = matrix.cell;
  const place = row * num + column;
  const value = matrix.similarities[place];
  const kind = row === column ? "itself" : row === (column ^ 1) ? "positive pair" : "negative";
  const two = element("div", "two");
  for (const which of [row, column]) {
    const figure = element("figure");
    figure.append(tileOf(matrix, which, 84), element("figcaption", "", viewName(matrix, which)));
    two.append(figure);
  }
  const words = element("p", "value");
  words.append(element("b", "", number(value)), element("span", "", ` cosine, ${kind}`));
  if (kind === "negative") words.append(element("span", "", `, weight ${percent(matrix.now.weights[place])}`));
  const order = [...Array(num).keys()]
    .filter((k) => k !== row && k !== (row ^ 1))
    .sort((a, b) => matrix.similarities[row * num + b] - matrix.similarities[row * num + a])
    .slice(0, MOST_BARS);
  const bars = element("div", "bars");
  bars.append(element("p", "small", `What pushes ${viewName(matrix, row)} away, of ${num - 2} negatives`));
  const heaviest = matrix.now.weights[row * num + order[0]] || 1;
  for (const k of order) {
    const weight = matrix.now.weights[row * num + k];
    const line = element("div", "bar");
    const track = element("span", "track");
    const fill = element("span", "fill");
    fill.style.width = `${(100 * weight) / Math.max(heaviest, 1e-12)}%`;
    track.append(fill);
    line.append(tileOf(matrix, k, 26), track, element("span", "share", percent(weight)));
    line.title = `${viewName(matrix, k)}: cosine ${number(matrix.similarities[row * num + k])}`;
    bars.append(line);
  }
  detail.replaceChildren(two, words, bars);
  matrix.said.textContent = `${viewName(matrix, row)} and ${viewName(matrix, column)}: cosine ${number(value)}, ${kind}`;
}
