// Pointing at an image.

import { element } from "../common/elements.js";
import { redraw } from "./drawing.js";
import { className, colorText, imageName, showImage } from "./elements.js";

/** @import { EmbeddingMap, Panel } from "./types.js" */

const TIP_SIDE = 72;

/** @param {EmbeddingMap} map @param {number} index @param {Panel} [panel] @param {number} [x] @param {number} [y] */
export function hover(map, index, panel, x = 0, y = 0) {
  map.byKeyboard = false;
  if (index !== map.hovered) {
    map.hovered = index;
    redraw(map);
  }
  if (index < 0 || !panel) {
    map.tip.style.display = "none";
    return;
  }
  const { color } = map.data;
  const tile = element("div", "tile");
  showImage(tile, map, index, TIP_SIDE);
  const words = element("div");
  words.append(element("div", "", imageName(map, index)));
  if (color.label && color.kind !== "class") {
    const texts = map.panels.map((each) => colorText(map, each, index));
    const text = texts.every((other) => other === texts[0]) ? texts[0] : texts.join(" | ");
    words.append(element("div", "sub", `${color.label}: ${text}`));
  }
  if (className(map, index)) words.append(element("div", "sub", `image ${map.ids[index]}`));
  map.tip.replaceChildren(tile, words);
  map.tip.style.display = "flex";
  const outer = map.node.getBoundingClientRect();
  const inner = panel.canvas.getBoundingClientRect();
  const left = inner.left - outer.left + x;
  const top = inner.top - outer.top + y;
  const width = map.tip.offsetWidth;
  const height = map.tip.offsetHeight;
  map.tip.style.left = `${Math.max(4, left + 16 + width > outer.width ? left - 16 - width : left + 16)}px`;
  map.tip.style.top = `${Math.max(4, top - height / 2)}px`;
}
