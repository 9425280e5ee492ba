// A panel: the elements of one map.

import { button, element } from "../common/elements.js";
import { listen } from "./gestures.js";
import { showAll, ZOOM_STEP, zoomAt } from "./moving.js";
import { LEAST_SIDE } from "./room.js";

/** @import { EmbeddingMap, Panel } from "./types.js" */

/** @param {EmbeddingMap} map @returns {Panel} */
export function makePanel(map) {
  const panel = /** @type {Panel} */ ({
    zoom: 1,
    center: { x: 0, y: 0 },
    points: new Float32Array(0),
    pointers: new Map(),
    side: LEAST_SIDE,
    rows: /** @type {number[]} */ ([]),
    names: /** @type {Panel["names"]} */ ([]),
    stale: true,
    stamp: "",
    cost: 0,
  });
  panel.node = element("section", "panel");
  const head = element("header");
  panel.title = element("div", "title");
  panel.subtitle = element("div", "subtitle");
  panel.stats = element("div", "stats");
  const words = element("div", "words");
  words.append(panel.title, panel.subtitle);
  const plane = element("div", "plane");
  panel.picture = element("canvas", "points");
  panel.canvas = element("canvas", "marks");
  panel.canvas.tabIndex = 0;
  panel.canvas.setAttribute("role", "application");
  panel.tools = element("div", "tools");
  panel.tools.append(
    button("+", "Zoom in", () => zoomAt(map, panel, ZOOM_STEP)),
    button("−", "Zoom out", () => zoomAt(map, panel, 1 / ZOOM_STEP)),
    button("Reset", "Show the whole map", () => showAll(map, panel)),
  );
  head.append(words, panel.tools);
  panel.note = element("div", "note");
  plane.append(panel.picture, panel.canvas, panel.note);
  panel.node.append(head, panel.stats, plane);
  listen(map, panel);
  return panel;
}
