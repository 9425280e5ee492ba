// What stands on a map besides its own images: the images that a user gave, numbered, and one that
// is changed step by step.

import { redraw } from "./drawing.js";
import { drawTug, tugStamp } from "./tug.js";
import { view } from "./view.js";

/** @import { EmbeddingMap, Panel, Point, Sheet } from "./types.js" */

const OWN_SIDE = 30; // pixels of an image on the map
const OWN_LINE = 2.5;
const OWN_CORNER = 5;
export const OWN_DASH = [5, 3];
const BADGE_RADIUS = 8; // radius of the number
const MAP_EDGE = 4; // what lies outside of the map is shown at its edge

/**
 * A picture that came as bytes: its address for elements, and itself for canvases once it is read.
 * @param {EmbeddingMap} map @param {Uint8Array<ArrayBuffer>} bytes @returns {Sheet}
 */
export function openSheet(map, bytes) {
  const blob = new Blob([bytes]);
  /** @type {Sheet} */
  const sheet = { url: URL.createObjectURL(blob), bitmap: null, isClosed: false };
  createImageBitmap(blob).then((bitmap) => {
    if (sheet.isClosed) return bitmap.close();
    sheet.bitmap = bitmap;
    for (const panel of map.panels) panel.stamp = "?"; // the marks are drawn again
    redraw(map);
  });
  return sheet;
}

/** @param {Sheet | null | undefined} sheet */
export function closeSheet(sheet) {
  if (!sheet) return;
  sheet.isClosed = true;
  sheet.bitmap?.close();
  URL.revokeObjectURL(sheet.url);
}

export const noGuests = () => ({
  source: "",
  sheet: null,
  points: /** @type {(Float32Array | null)[]} */ ([]),
  names: /** @type {string[]} */ ([]),
  side: 1,
  exact: false,
});

/**
 * Takes in the images that a user gave; those on their way come with the next call.
 * @param {EmbeddingMap} map
 */
export function takeGuests(map) {
  const given = map.data.guests ?? null;
  const source = given ? [given.sheet, ...given.points].join(" ") : "";
  if (map.guests.source === source) return;
  const bytes = given && window.simclrArrays?.get(given.sheet);
  const points = (given?.points ?? []).map((name) => (name === null ? null : window.simclrArrays?.get(name)));
  if (given && (!bytes || points.some((each) => each === undefined))) return;
  closeSheet(map.guests.sheet);
  map.guests = {
    source,
    sheet: bytes ? openSheet(map, /** @type {Uint8Array<ArrayBuffer>} */ (bytes)) : null,
    points: /** @type {(Float32Array | null)[]} */ (points),
    names: given?.names ?? [],
    side: given?.side ?? 1,
    exact: Boolean(given?.exact),
  };
}

/**
 * Where something stands on the screen; at the edge of the map where it lies outside.
 * @param {Panel} panel @param {Float32Array} points @param {number} index @param {number} side @returns {Point}
 */
export function shownAt(panel, points, index, side) {
  const frame = view(panel);
  const x = frame.x + points[2 * index] * frame.scale;
  const y = frame.y - points[2 * index + 1] * frame.scale;
  const within = (/** @type {number} */ value, /** @type {number} */ most) =>
    Math.min(most - side / 2 - MAP_EDGE, Math.max(side / 2 + MAP_EDGE, value));
  return [within(x, frame.width), within(y, frame.height)];
}

/**
 * A picture in a frame, dashed where its place is only about right.
 * @param {EmbeddingMap} map @param {CanvasRenderingContext2D} context @param {Point} at @param {number} side
 * @param {boolean} isExact @param {() => void} picture
 */
export function drawFramed(map, context, [x, y], side, isExact, picture) {
  const outer = side + 2 * OWN_LINE;
  context.save();
  context.beginPath();
  context.roundRect(x - outer / 2 - 1.5, y - outer / 2 - 1.5, outer + 3, outer + 3, OWN_CORNER + 1.5);
  context.fillStyle = map.theme.background;
  context.fill();
  context.beginPath();
  context.roundRect(x - side / 2, y - side / 2, side, side, OWN_CORNER - OWN_LINE);
  context.save();
  context.clip();
  picture();
  context.restore();
  context.beginPath();
  context.roundRect(x - (side + OWN_LINE) / 2, y - (side + OWN_LINE) / 2, side + OWN_LINE, side + OWN_LINE, OWN_CORNER);
  context.lineWidth = OWN_LINE;
  context.strokeStyle = map.theme.primary;
  context.setLineDash(isExact ? [] : OWN_DASH);
  context.stroke();
  context.restore();
}

/** @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context */
function drawGuests(map, panel, context) {
  const { sheet, points, names, side, exact } = map.guests;
  const places = points[map.panels.indexOf(panel)];
  if (!places || !sheet?.bitmap) return;
  const { bitmap } = sheet;
  names.forEach((_, index) => {
    const [x, y] = shownAt(panel, places, index, OWN_SIDE);
    drawFramed(map, context, [x, y], OWN_SIDE, exact, () =>
      context.drawImage(bitmap, index * side, 0, side, side, x - OWN_SIDE / 2, y - OWN_SIDE / 2, OWN_SIDE, OWN_SIDE),
    );
    context.save();
    context.beginPath();
    context.arc(x + OWN_SIDE / 2, y - OWN_SIDE / 2, BADGE_RADIUS, 0, 2 * Math.PI);
    context.fillStyle = map.theme.primary;
    context.fill();
    context.fillStyle = "#fff";
    context.font = `600 11px ${map.theme.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(index + 1), x + OWN_SIDE / 2, y - OWN_SIDE / 2 + 0.5);
    context.restore();
  });
}

/**
 * Changes with all that is drawn; empty where there is nothing.
 * @param {EmbeddingMap} map
 */
export function ownStamp(map) {
  const tug = tugStamp(map);
  return map.guests.source || tug ? `${map.guests.source} ${tug}` : "";
}

/** @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context */
export function drawOwnMarks(map, panel, context) {
  drawGuests(map, panel, context);
  drawTug(map, panel, context);
}
