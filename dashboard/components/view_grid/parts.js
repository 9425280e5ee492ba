// What the figures are made of: a tile of a sprite, an outline, a title.

import { element } from "../common/elements.js";
import { fitTile } from "../common/tiles.js";

/** @import { Crop } from "./types.js" */

/**
 * @param {string} url @param {number} column @param {number} row @param {number} columns @param {number} rows
 * @param {string} [label]
 */
export function tile(url, column, row, columns, rows, label) {
  const node = element("div", "tile");
  fitTile(node, url, row * columns + column, columns, rows);
  if (label !== undefined) {
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
  }
  return node;
}

/**
 * Outlines in an original what a view is cut from.
 * @param {HTMLElement} picture @param {Crop | null} box @param {number} which
 */
export function frame(picture, box, which) {
  if (!box) return;
  const mark = element("div", `box ${which ? "two" : "one"}`);
  const [left, top, width, height] = box.map((share) => `${100 * share}%`);
  Object.assign(mark.style, { left, top, width, height });
  picture.append(mark);
}

/** @param {string} text @param {string} [name] */
export function heading(text, name) {
  const head = element("div", "head");
  if (name) head.append(element("span", `key ${name}`));
  head.append(element("span", "", text));
  head.title = text;
  return head;
}
