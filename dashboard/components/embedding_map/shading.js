// Three ways of drawing the images of a map: as points, with outlines of groups, or as density.

import { contextOf, element } from "../common/elements.js";
import { cssColor, rgb } from "../common/theme.js";
import { contours } from "./contours.js";
import { bandwidth, densityGrid, levelHolding } from "./density.js";
import { groupColor, isScale } from "./elements.js";
import { DIM, HIDDEN, LIT, view } from "./view.js";

/** @import { Drawing, EmbeddingMap, Frame, MapOutline, Panel, Point, Shading } from "./types.js" */

export const OUTLINED_SHARE = 0.8; // of a group's images inside its outline
const LEAST_OUTLINED = 5; // of fewer there is no density to speak of
export const OUTLINE_WIDTH = 1.7; // pixels
export const FILL_OPACITY = 0.09;
const OUTLINE_GREYED = 0.3; // of an outline of which no image is lit
const SHARPER = 0.6; // times the kernel of the outlines: shading shows more than a line can
const MOST_OPACITY = 0.9; // where images lie most densely

/** @type {Record<Drawing, { label: string, title: string, about: string }>} */
export const DRAWINGS = {
  points: { label: "Points", title: "Each image is a point", about: "" },
  outlines: {
    label: "Outlines",
    title: "Where most images of each class lie",
    about: `Each outline holds ${Math.round(100 * OUTLINED_SHARE)} % of the images of its colour, where they lie most densely; the other ${Math.round(100 - 100 * OUTLINED_SHARE)} % lie outside.`,
  },
  density: {
    label: "Density",
    title: "Where images lie densely",
    about:
      "The stronger the shading, the more images lie there, whatever their class; with a search or a selection only those count.",
  },
};
const NO_GROUPS =
  "Outlines need classes or other groups: colour the maps by one. This colouring is a scale of numbers.";

/** @param {string} text @returns {Drawing} */
export function drawingFrom(text) {
  return text === "outlines" || text === "density" ? text : "points";
}

/**
 * The one sentence that says what is drawn.
 * @param {EmbeddingMap} map
 */
export function aboutDrawing(map) {
  const { color } = map.data;
  return map.drawing === "outlines" && (isScale(color) || !color.label) ? NO_GROUPS : DRAWINGS[map.drawing].about;
}

/**
 * Whether outlines are drawn: there must be groups.
 * @param {EmbeddingMap} map
 */
function hasOutlines(map) {
  return map.drawing === "outlines" && !isScale(map.data.color) && Boolean(map.data.color.label);
}

/**
 * How strongly points are drawn, lit and grey ones, beside what else is drawn.
 * @param {EmbeddingMap} map
 */
export function pointOpacity(map) {
  if (map.drawing === "density") return { lit: 0.12, dim: 0.05 };
  return hasOutlines(map) ? { lit: 0.4, dim: 0.3 } : { lit: 0.85, dim: 0.7 };
}

/**
 * The outlines of a panel's groups; found once for its points and groups.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
function outlinesOf(map, panel) {
  const frame = panel.frames ? map.frame : 0;
  const before = panel.outlines;
  if (before && before.points === panel.points && before.groups === panel.groups && before.frame === frame)
    return before;
  const { points, groups, box } = panel;
  /** @type {number[][]} */
  const rows = map.data.color.names.map(() => []);
  for (let i = 0; i < map.count; i++) if (groups[i] >= 0) rows[groups[i]].push(i);
  const rings = rows.map((own) => {
    if (own.length < LEAST_OUTLINED) return [];
    const grid = densityGrid(points, own, box, bandwidth(points, own, box));
    return contours(grid, levelHolding(grid, points, own, OUTLINED_SHARE));
  });
  panel.outlines = { points, groups, frame, rings };
  return panel.outlines;
}

/**
 * The outlines that are seen, in pixels of the panel, those of which nothing is lit first.
 * @param {EmbeddingMap} map @param {Panel} panel @returns {MapOutline[]}
 */
export function outlines(map, panel) {
  if (!hasOutlines(map)) return [];
  const { x, y, scale } = view(panel);
  const onPanel = (/** @type {Point} */ [right, up]) => /** @type {Point} */ ([x + right * scale, y - up * scale]);
  return outlinesOf(map, panel)
    .rings.flatMap((rings, group) => {
      if (map.hidden.has(group) || !rings.length) return [];
      const color = cssColor(groupColor(map, map.data.color.colors[group]));
      return [{ color, opacity: panel.lit[group] ? 1 : OUTLINE_GREYED, rings: rings.map((ring) => ring.map(onPanel)) }];
    })
    .sort((one, other) => one.opacity - other.opacity);
}

/**
 * The density of what is lit, as a picture of a pixel for each cell, and the place of its corner on the map; found once
 * for what is lit.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
function shadingOf(map, panel) {
  const frame = panel.frames ? map.frame : 0;
  if (panel.shading?.frame === frame) return panel.shading;
  const { points, levels, box } = panel;
  const count = (/** @type {number} */ level) => levels.reduce((sum, each) => sum + Number(each === level), 0);
  const wanted = count(LIT) ? LIT : DIM;
  const rows = Uint32Array.from({ length: count(wanted) });
  for (let i = 0, place = 0; i < map.count; i++) if (levels[i] === wanted) rows[place++] = i;
  const sigma = Math.min(SHARPER * bandwidth(points, rows, box), Math.max(box.width, box.height) / 36);
  const grid = densityGrid(points, rows, box, sigma);
  const { columns, lines, values } = grid;
  const most = values.reduce((high, value) => Math.max(high, value), 0) || 1;
  const picture = element("canvas");
  [picture.width, picture.height] = [columns, lines];
  const image = new ImageData(columns, lines);
  const [red, green, blue] = rgb(map.theme.primary);
  for (let line = 0; line < lines; line++) {
    for (let column = 0; column < columns; column++) {
      const at = 4 * ((lines - 1 - line) * columns + column);
      // the root, since a place with a tenth of the images of the densest one is to be seen as well
      const opacity = MOST_OPACITY * Math.sqrt(values[line * columns + column] / most);
      image.data.set([red, green, blue, Math.round(255 * opacity)], at);
    }
  }
  contextOf(picture).putImageData(image, 0, 0);
  panel.shading = { frame, grid, picture };
  return panel.shading;
}

/**
 * The picture of the density, and where it lies on the panel, in pixels; null where it is not drawn.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
export function shading(map, panel) {
  if (map.drawing !== "density" || !panel.levels.some((level) => level !== HIDDEN)) return null;
  const { x, y, scale } = view(panel);
  const { grid, picture } = shadingOf(map, panel);
  const { left, low, cell, columns, lines } = grid;
  // a node is the middle of its pixel
  const corner = { x: x + (left - cell / 2) * scale, y: y - (low + (lines - 0.5) * cell) * scale };
  return { picture, ...corner, width: columns * cell * scale, height: lines * cell * scale };
}

/**
 * Draws outlines or density over the points of a panel, in pixels of the page.
 * @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context
 */
export function drawShading(map, panel, context) {
  const shade = shading(map, panel);
  context.save();
  if (shade) {
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(shade.picture, shade.x, shade.y, shade.width, shade.height);
  }
  context.lineJoin = "round";
  for (const { color, opacity, rings } of outlines(map, panel)) {
    context.beginPath();
    for (const ring of rings) {
      ring.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
    }
    context.fillStyle = color;
    context.globalAlpha = FILL_OPACITY * opacity;
    context.fill("evenodd");
    context.globalAlpha = opacity;
    context.strokeStyle = map.theme.background; // a seam, so that lines over points and over each other stay apart
    context.lineWidth = OUTLINE_WIDTH + 1.2;
    context.stroke();
    context.strokeStyle = color;
    context.lineWidth = OUTLINE_WIDTH;
    context.stroke();
  }
  context.restore();
}
