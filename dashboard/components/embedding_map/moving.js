// Moving and enlarging a map.

import { redraw } from "./drawing.js";
import { hover } from "./hover.js";
import { report, ZOOM_MS } from "./report.js";
import { onMap, view } from "./view.js";

/** @import { EmbeddingMap, Panel } from "./types.js" */

export const ZOOM_STEP = 1.25;
const MAX_ZOOM = 60;

/** @param {EmbeddingMap} map @param {Panel} panel @param {number} zoom @param {number} x @param {number} y */
export function moveTo(map, panel, zoom, x, y) {
  panel.zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
  const { box } = panel;
  /** @param {number} value @param {number} middle @param {number} size */
  const within = (value, middle, size) => Math.min(middle + size / 2, Math.max(middle - size / 2, value));
  panel.center = { x: within(x, box.x, box.width), y: within(y, box.y, box.height) };
  const isMoved = panel.zoom > 1 || Math.hypot(panel.center.x - box.x, panel.center.y - box.y) * view(panel).scale > 1;
  panel.node.classList.toggle("zoomed", isMoved); // then a finger moves the map and not the page
  panel.movedAt = performance.now();
  panel.stale = true;
  hover(map, -1);
  redraw(map);
  report(map, ZOOM_MS);
}

/** @param {EmbeddingMap} map @param {Panel} panel @param {number} factor @param {number} [x] @param {number} [y] */
export function zoomAt(map, panel, factor, x, y) {
  const frame = view(panel);
  const [heldX, heldY] = onMap(frame, x ?? frame.width / 2, y ?? frame.height / 2);
  const zoom = Math.min(MAX_ZOOM, Math.max(1, panel.zoom * factor));
  if (zoom === 1) return showAll(map, panel);
  const left = panel.zoom / zoom;
  moveTo(map, panel, zoom, heldX + (panel.center.x - heldX) * left, heldY + (panel.center.y - heldY) * left);
}

/** @param {EmbeddingMap} map @param {Panel} panel */
export function showAll(map, panel) {
  moveTo(map, panel, 1, panel.box.x, panel.box.y);
}
