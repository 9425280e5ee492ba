// Points as the images themselves: framed in the colour of the point, with a dot where there is no image.

import { cssColor } from "../common/theme.js";
import { SMOOTH_SIDE } from "../common/tiles.js";
import { tileOf } from "./sheets.js";
import { DIM, LIT, look, position, view } from "./view.js";

/** @import { EmbeddingMap, Panel } from "./types.js" */

const DIM_IMAGE_OPACITY = 0.3;
const FRAME_SHARE = 1 / 14; // of the side
const FRAME_WIDTHS = [1.5, 3]; // least and most pixels
const CORNER = 3; // how round it is, in pixels
const CRISP = 1.6; // times enlarged and more, small images show their pixels, as elsewhere on the page

/** @param {number} color as `packColor` makes it */
export function unpackedColor(color) {
  return cssColor([color & 255, (color >> 8) & 255, (color >> 16) & 255]);
}

/**
 * Draws some rows as images, grey ones first, the others over them. The canvas has `ratio` pixels for each of the page.
 * @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context @param {number} ratio
 * @param {number[]} rows
 */
export function drawThumbnails(map, panel, context, ratio, rows) {
  const { side, radius, opacity, litOpacity } = look(map, panel);
  if (!side) return;
  const frame = view(panel);
  const line = Math.min(FRAME_WIDTHS[1], Math.max(FRAME_WIDTHS[0], side * FRAME_SHARE));
  const inner = side - 2 * line;
  context.save();
  context.imageSmoothingQuality = "medium";
  for (const level of [DIM, LIT]) {
    for (const i of rows) {
      if (panel.levels[i] !== level) continue;
      const [x, y] = position(panel, frame, i);
      const tile = tileOf(map, i);
      context.fillStyle = unpackedColor(panel.colors[i]);
      context.globalAlpha = tile ? opacity : litOpacity;
      context.beginPath();
      if (!tile) {
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
        continue;
      }
      // on whole pixels, or images would shimmer while they move
      const left = Math.round((x - side / 2) * ratio) / ratio;
      const top = Math.round((y - side / 2) * ratio) / ratio;
      context.roundRect(left, top, side, side, CORNER);
      context.fill();
      if (level === DIM) {
        context.fillStyle = map.theme.background;
        context.fillRect(left + line, top + line, inner, inner);
        context.globalAlpha = opacity * DIM_IMAGE_OPACITY;
      }
      context.imageSmoothingEnabled = tile.side >= SMOOTH_SIDE || inner * ratio < CRISP * tile.side;
      context.drawImage(tile.bitmap, tile.x, tile.y, tile.side, tile.side, left + line, top + line, inner, inner);
    }
  }
  context.restore();
}
