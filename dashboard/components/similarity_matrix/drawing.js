// The heat map and its legend.

import { contextOf, element } from "../common/elements.js";
import { colorAt, cssColor, rgb, theme } from "../common/theme.js";

/** @import { Matrix } from "./types.js" */

// From deep blue by white or near-black to yellow-white would hide zero; one hue from the page's ground to full is read
// at once. Far ends: the lowest and highest value off the diagonal.
const LIGHT_RAMP = ["#ffffff", "#cdd8fa", "#788eee", "#3242aa", "#121042"].map(rgb);
const DARK_RAMP = ["#10151c", "#263e8c", "#5f78ee", "#becdff", "#fffae1"].map(rgb);

/** @param {number} share @param {boolean} isDark */
function ramp(share, isDark) {
  return colorAt(isDark ? DARK_RAMP : LIGHT_RAMP, share);
}

/**
 * What is drawn: similarities, or each row's weights as shares of the largest weight there is.
 * @param {Matrix} matrix
 */
function shownValues(matrix) {
  if (matrix.mode === "similarity") return { values: matrix.similarities, low: matrix.low, high: matrix.highest };
  const { weights } = matrix.now;
  let high = 0;
  for (const weight of weights) high = Math.max(high, weight);
  return { values: weights, low: 0, high };
}

/** @param {Matrix} matrix */
export function draw(matrix) {
  const { canvas, num } = matrix;
  const side = canvas.clientWidth;
  if (!side) return;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(side * scale)) canvas.width = canvas.height = Math.round(side * scale);
  const isDark = theme(matrix.node).dark;
  const { values, low, high } = shownValues(matrix);
  const small = new ImageData(num, num);
  for (let i = 0; i < num; i++) {
    for (let k = 0; k < num; k++) {
      const place = i * num + k;
      const isWeight = matrix.mode === "weights";
      let color;
      if (i === k || (isWeight && k === (i ^ 1))) color = [138, 148, 166];
      else {
        const share = high > low ? (values[place] - low) / (high - low) : 0;
        color = ramp(isWeight ? Math.sqrt(share) : share, isDark);
      }
      small.data.set([...color, 255], 4 * place);
    }
  }
  matrix.small.width = matrix.small.height = num;
  contextOf(matrix.small).putImageData(small, 0, 0);
  const context = contextOf(canvas);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(matrix.small, 0, 0, canvas.width, canvas.height);
  const cell = canvas.width / num;
  /** @param {number} row @param {number} column @param {number} rows @param {string} color @param {number} width */
  const frame = (row, column, rows, color, width) => {
    context.strokeStyle = color;
    context.lineWidth = width * scale;
    context.strokeRect(column * cell, row * cell, rows * cell, rows * cell);
  };
  if (cell / scale >= 2.5) {
    for (let i = 0; i < num; i += 2) frame(i, i, 2, isDark ? "#2bb58c" : "#159a74", 1.5); // the pairs
  }
  for (const mark of matrix.data.marks) {
    frame(mark.row, mark.column, 1, "#e07b28", 2.5);
    frame(mark.column, mark.row, 1, "#e07b28", 2.5);
  }
  if (matrix.cell) {
    const [row, column] = matrix.cell;
    frame(row, column, 1, isDark ? "#ffffff" : "#000000", 2);
  }
}

/** @param {Matrix} matrix */
export function legend(matrix) {
  const { low, highest, mode } = matrix;
  const isDark = theme(matrix.node).dark;
  const colors = [0, 0.25, 0.5, 0.75, 1].map((share) => cssColor(ramp(share, isDark)));
  const bar = element("span", "ramp");
  bar.style.background = `linear-gradient(90deg, ${colors.join(", ")})`;
  const ends = mode === "similarity" ? [low.toFixed(2), highest.toFixed(2)] : ["no weight", "heaviest"];
  const key = (/** @type {string} */ className, /** @type {string} */ text) => {
    const node = element("span", "key");
    node.append(element("span", className), element("span", "", text));
    return node;
  };
  const marks = matrix.data.marks.length ? [key("square mark", "different images most alike")] : [];
  matrix.legend.replaceChildren(
    element("span", "", ends[0]),
    bar,
    element("span", "", ends[1]),
    key("square pair", "the two views of an image"),
    ...marks,
  );
}
