// What the figures are made of: a tile of a sprite, an outline, a title.

import { element } from "../common/elements.js";
import { fitTile } from "../common/tiles.js";

export function tile(url, column, row, columns, rows, label) {
  const node = element("div", "tile");
  fitTile(node, url, row * columns + column, columns, rows);
  if (label !== undefined) {
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
  }
  return node;
}

// Outlines in an original what a view is cut from.
export function frame(picture, box, which) {
  if (!box) return;
  const mark = element("div", `box ${which ? "two" : "one"}`);
  const [left, top, width, height] = box.map((share) => `${100 * share}%`);
  Object.assign(mark.style, { left, top, width, height });
  picture.append(mark);
}

export function heading(text, name) {
  const head = element("div", "head");
  if (name) head.append(element("span", `key ${name}`));
  head.append(element("span", "", text));
  head.title = text;
  return head;
}
