// How the points of a panel and its marks are drawn.

import { contextOf } from "../common/elements.js";
import { isStill } from "../common/motion.js";
import { rgb } from "../common/theme.js";
import { drawNames } from "./names.js";
import { drawOwnMarks, ownStamp } from "./own_marks.js";
import { drawDiscs, makeSurface, packColor } from "./raster.js";
import { LEAST_SIDE, mostSide, nextSide, rowsInWindow, sideWithRoom } from "./room.js";
import { drawShading } from "./shading.js";
import { tileOf, wantSheets } from "./sheets.js";
import { drawThumbnails } from "./thumbnails.js";
import { tuggedDetails } from "./tug.js";
import { DIM, HIDDEN, LIT, look, position, view } from "./view.js";

/** @import { Details, EmbeddingMap, Neighbor, Panel, PointsCanvas, Ring } from "./types.js" */

const MOST_RINGED = 60; // found images that get a ring each
const SETTLE_MS = 160;
const MOVING_MS = 14; // for the drawing of a panel while it moves
const LEAST_PART = 0.2;

/**
 * Which points are lit, grey or hidden, and their colours; after every change of choice, legend, colours or theme.
 * @param {EmbeddingMap} map
 */
export function refreshLevels(map) {
  const grey = packColor(map.theme.dark ? [58, 67, 81] : [205, 210, 220]);
  const { numChosen, chosen, focus, found } = map;
  for (const panel of map.panels) {
    const { groups, own, levels, colors } = panel;
    const isHidden = new Uint8Array(map.data.color.names.length + 1);
    for (const group of map.hidden) isHidden[group] = 1;
    panel.hasDim = false;
    panel.shading = null;
    panel.lit = new Uint8Array(map.data.color.names.length);
    for (let i = 0; i < map.count; i++) {
      const group = groups[i];
      if (group >= 0 && isHidden[group]) {
        levels[i] = HIDDEN;
        continue;
      }
      const isLit = (!numChosen || chosen[i]) && (!found || found[i]) && (focus === null || focus === group);
      levels[i] = isLit ? LIT : DIM;
      panel.hasDim ||= !isLit;
      if (isLit && group >= 0) panel.lit[group] = 1;
      colors[i] = isLit ? own[i] : grey;
    }
    panel.stale = true;
  }
  redraw(map);
}

/**
 * @param {EmbeddingMap} map @param {Panel} panel @param {PointsCanvas} canvas @param {number} ratio
 * @param {number} [part]
 */
export function paintPoints(map, panel, canvas, ratio, part = 1) {
  const frame = view(panel);
  const width = Math.round(frame.width * ratio);
  const height = Math.round(frame.height * ratio);
  const { radius, litOpacity, dimOpacity } = look(map, panel);
  const margin = Math.ceil((radius + 2) * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  if (
    canvas.surface?.margin !== margin ||
    canvas.surface.width !== width + 2 * margin ||
    canvas.surface.height !== height + 2 * margin
  ) {
    canvas.surface = makeSurface(width, height, margin);
  }
  const surface = canvas.surface;
  surface.pixels.fill(packColor(rgb(map.theme.background)));
  const place = { scale: frame.scale * ratio, x: frame.x * ratio, y: frame.y * ratio };
  const order = map.order.subarray(0, Math.ceil(part * map.count));
  const paint = (/** @type {number} */ level, /** @type {number} */ opacity) =>
    drawDiscs(surface, panel.points, order, panel.colors, panel.levels, level, place, radius * ratio, opacity);
  if (panel.hasDim) paint(DIM, dimOpacity);
  paint(LIT, litOpacity);
  const context = contextOf(canvas, { alpha: false });
  context.putImageData(surface.image, -margin, -margin);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawShading(map, panel, context);
  drawThumbnails(map, panel, context, ratio, panel.rows);
}

/** @param {EmbeddingMap} map @returns {Details | null} */
export function detailsOf(map) {
  const { data, opened } = map;
  const tugged = tuggedDetails(map);
  if (tugged || opened < 0) return tugged;
  if (data.details && data.details.index === opened) return data.details;
  if (!map.panels.every((panel) => panel.neighbors)) return null;
  const neighbors = map.panels.map(({ neighbors, similarities }) => {
    if (!neighbors || !similarities) return [];
    const width = neighbors.length / map.count;
    const from = opened * width;
    return Array.from(
      { length: width },
      (_, k) => /** @type {Neighbor} */ ([neighbors[from + k], similarities[from + k]]),
    );
  });
  return { index: opened, facts: [], neighbors };
}

/**
 * Circles around a few found images, the neighbours of the open image, itself and the one pointed at; around images they
 * are squares.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
export function rings(map, panel) {
  const { radius, side } = look(map, panel);
  /** @type {Ring[]} */
  const found = [];
  const add = (/** @type {number} */ index, /** @type {number} */ gap, /** @type {number} */ line) => {
    if (index >= panel.points.length / 2) return;
    if (side && tileOf(map, index)) found.push({ index, size: side / 2 + gap / 2, line: 1.5 * line, corner: 4 });
    else found.push({ index, size: radius + gap, line, corner: radius + gap });
  };
  if (map.found && map.numFound <= MOST_RINGED) {
    map.found.forEach((is, index) => is && panel.levels[index] !== HIDDEN && add(index, 3, 1.6));
  }
  const near = detailsOf(map)?.neighbors[map.panels.indexOf(panel)] ?? [];
  for (const [index] of near) add(index, 2.5, 1.2);
  if (map.opened >= 0) add(map.opened, 6.5, 2.5);
  if (map.hovered >= 0) add(map.hovered, 4, 2);
  return found;
}

/**
 * The rings, each around its image, which lies over all others then.
 * @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context @param {number} ratio
 */
export function drawRings(map, panel, context, ratio) {
  const frame = view(panel);
  for (const { index, size, line, corner } of rings(map, panel)) {
    const [x, y] = position(panel, frame, index);
    if (corner < size) drawThumbnails(map, panel, context, ratio, [index]);
    context.beginPath();
    context.roundRect(x - size, y - size, 2 * size, 2 * size, corner);
    context.lineWidth = line + 2.5;
    context.strokeStyle = map.theme.background;
    context.stroke();
    context.lineWidth = line;
    context.strokeStyle = map.theme.text;
    context.stroke();
  }
}

/** @param {EmbeddingMap} map @param {Panel} panel */
function drawMarks(map, panel) {
  const { canvas } = panel;
  const frame = view(panel);
  const ratio = window.devicePixelRatio || 1;
  // an empty canvas stays as it is while the map below moves
  const marks = rings(map, panel);
  const colors = marks.map(({ index }) => panel.colors[index]);
  const own = ownStamp(map);
  const stamp =
    marks.length || panel.lasso || own
      ? JSON.stringify([marks, colors, panel.lasso?.corners.length, frame, ratio, map.frame, map.theme, own])
      : "";
  if (stamp === panel.stamp) return;
  panel.stamp = stamp;
  const width = Math.round(frame.width * ratio);
  const height = Math.round(frame.height * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = contextOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, frame.width, frame.height);
  drawRings(map, panel, context, ratio);
  drawOwnMarks(map, panel, context);
  if (!panel.lasso) return;
  context.beginPath();
  for (const [x, y] of panel.lasso.corners) context.lineTo(frame.x + x * frame.scale, frame.y - y * frame.scale);
  context.globalAlpha = 0.12;
  context.fillStyle = map.theme.primary;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = map.theme.primary;
  context.lineWidth = 1.5;
  context.setLineDash([5, 4]);
  context.stroke();
  context.setLineDash([]);
}

/**
 * Which rows are drawn as images, and how large. The side goes on its way to what there is room for: "growing" where the
 * next frame goes on, "held" where it waits until the map is at rest.
 * @param {EmbeddingMap} map @param {Panel} panel @param {boolean} isMoving
 */
function makeRoom(map, panel, isMoving) {
  const frame = view(panel);
  const isZoomed = panel.zoomDrawn !== panel.zoom;
  panel.zoomDrawn = panel.zoom;
  panel.rows = rowsInWindow(map, panel, frame, HIDDEN);
  const places = new Float32Array(2 * panel.rows.length);
  panel.rows.forEach((row, k) => places.set(position(panel, frame, row), 2 * k));
  let goal = sideWithRoom(places, LEAST_SIDE, mostSide(frame)) || LEAST_SIDE;
  if (goal > LEAST_SIDE) {
    wantSheets(map, panel.rows, () => {
      for (const each of map.panels) each.stale = true;
      redraw(map);
    });
    if (!panel.rows.some((row) => tileOf(map, row))) goal = LEAST_SIDE;
  }
  panel.side = isStill() ? goal : nextSide(panel.side, goal, isMoving && !isZoomed);
  if (panel.side === LEAST_SIDE) panel.rows = [];
  if (panel.side === goal) return "";
  return isMoving && !isZoomed && nextSide(panel.side, goal, true) === panel.side ? "held" : "growing";
}

/** @param {EmbeddingMap} map @param {Panel} panel */
function draw(map, panel) {
  if (!panel.canvas.clientWidth) return;
  if (panel.stale) {
    const start = performance.now();
    const isMoving = Boolean(map.playing) || start - (panel.movedAt ?? -Infinity) < SETTLE_MS;
    // a slow computer draws as many points while the map moves as it has time for, and all of them afterwards
    const part = isMoving ? Math.min(1, Math.max(LEAST_PART, MOVING_MS / panel.cost)) : 1;
    const images = makeRoom(map, panel, isMoving);
    const begun = performance.now();
    paintPoints(map, panel, panel.picture, window.devicePixelRatio || 1, part);
    if (part === 1) panel.cost = performance.now() - begun;
    const areNamesMoving = drawNames(map, panel, contextOf(panel.picture));
    panel.stale = areNamesMoving || images === "growing";
    if (panel.stale) redraw(map);
    clearTimeout(panel.settle);
    if (part < 1 || images === "held") {
      panel.settle = setTimeout(() => {
        panel.stale = true;
        redraw(map);
      }, SETTLE_MS);
    }
  }
  drawMarks(map, panel);
}

/**
 * Both panels are drawn in one frame.
 * @param {EmbeddingMap} map
 */
export function redraw(map) {
  if (map.waiting || !map.data) return;
  map.waiting = requestAnimationFrame(() => {
    map.waiting = 0;
    map.panels.forEach((panel) => draw(map, panel));
    map.node.dataset.drawn = map.revision;
  });
}
