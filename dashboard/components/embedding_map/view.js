// Where a panel's points stand on the screen, and how large.

import { makeGrid, search } from "./geometry.js";
import { LEAST_SIDE, WHOLE_SIDE } from "./room.js";
import { pointOpacity } from "./shading.js";

/** @import { EmbeddingMap, Frame, Panel, Place, Point } from "./types.js" */

export const HIDDEN = 0; // levels of a point
export const DIM = 1;
export const LIT = 2;
const EDGE = 18; // free pixels around the whole map

/**
 * One scale for both directions: a distance to the right looks as long as the same one upwards.
 * @param {Panel} panel @returns {Frame}
 */
export function view(panel) {
  const { width, height } = panel.canvas.getBoundingClientRect();
  const { box, center } = panel;
  const scale = Math.min((width - 2 * EDGE) / box.width, (height - 2 * EDGE) / box.height) * panel.zoom;
  return { width, height, scale, x: width / 2 - center.x * scale, y: height / 2 + center.y * scale };
}

/** @param {Panel} panel @param {Place} frame @param {number} index @returns {Point} */
export function position(panel, frame, index) {
  return [frame.x + panel.points[2 * index] * frame.scale, frame.y - panel.points[2 * index + 1] * frame.scale];
}

/** @param {Place} frame @param {number} x @param {number} y @returns {Point} */
export function onMap(frame, x, y) {
  return [(x - frame.x) / frame.scale, (frame.y - y) / frame.scale];
}

/**
 * How large the points are, and the images in their place: `side` pixels, 0 where there are none, `opacity` while they
 * grow out of the dots.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
export function look(map, panel) {
  const size = map.count > 30000 ? 1.3 : map.count > 6000 ? 1.8 : map.count > 1500 ? 2.6 : 3.4;
  const radius = size * Math.min(2.2, panel.zoom ** 0.3);
  const grown = Math.min(1, (panel.side - LEAST_SIDE) / (WHOLE_SIDE - LEAST_SIDE));
  const side = grown > 0 ? 2 * radius + (panel.side - 2 * radius) * grown : 0;
  const { lit: litOpacity, dim: dimOpacity } = pointOpacity(map);
  return { radius, litOpacity, dimOpacity, side, opacity: Math.max(0, Math.min(1, 1.5 * grown)) };
}

/** @param {Panel} panel */
export function gridOf(panel) {
  panel.grid ??= makeGrid(panel.points);
  return panel.grid;
}

/**
 * The image nearest to a place on the screen, at most `reach` pixels away; -1 without. Where points are images, the one
 * whose middle is nearest of those that lie there: distances are measured as squares grow.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} x @param {number} y @param {number} reach
 */
export function nearest(map, panel, x, y, reach) {
  const frame = view(panel);
  const { side } = look(map, panel);
  const [mapX, mapY] = onMap(frame, x, y);
  return search(gridOf(panel), mapX, mapY, Math.max(reach, side / 2) / frame.scale, (i) => {
    if (panel.levels[i] === HIDDEN) return Infinity;
    const dx = Math.abs(panel.points[2 * i] - mapX);
    const dy = Math.abs(panel.points[2 * i + 1] - mapY);
    return side ? Math.max(dx, dy) : Math.hypot(dx, dy);
  });
}
