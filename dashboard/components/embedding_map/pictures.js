// The maps as a picture to keep: one list of shapes, drawn on a canvas for PNG and as elements for SVG.

import { contextOf, element, SVG, svgElement } from "../common/elements.js";
import { cssColor } from "../common/theme.js";
import { summary } from "./choice.js";
import { drawRings, paintPoints, rings } from "./drawing.js";
import { groupColor, isScale, scaleColor, valueText } from "./elements.js";
import { drawNames, HALO_WIDTH, NAME_SIZE, NAME_WEIGHT, placedNames } from "./names.js";
import { drawOwnMarks, ownStamp } from "./own_marks.js";
import { FILL_OPACITY, OUTLINE_WIDTH, outlines, shading } from "./shading.js";
import { tileOf } from "./sheets.js";
import { drawThumbnails, unpackedColor } from "./thumbnails.js";
import { DIM, LIT, look, position, view } from "./view.js";

/** @import { EmbeddingMap, MapShape, Panel, Shape } from "./types.js" */

const PICTURE_SCALE = 2;
const MAX_CIRCLES = 20000; // a map of more points is a picture inside the SVG: others can no longer open it otherwise
const GAP = 24;
const MARGIN = 24;
const LINE = 19;

/** @param {EmbeddingMap} map @param {string} ending */
function fileName(map, ending) {
  const words = map.data.panels.map((panel) => panel.title).join(" and ");
  return `${
    words
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 80) || "maps"
  }.${ending}`;
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/**
 * A canvas with the points of a panel as they are seen, `ratio` pixels for each of the page.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} ratio
 */
function pointsCanvas(map, panel, ratio) {
  const canvas = element("canvas");
  const frame = view(panel);
  canvas.width = Math.round(frame.width * ratio);
  canvas.height = Math.round(frame.height * ratio);
  paintPoints(map, panel, canvas, ratio);
  return canvas;
}

/**
 * Shapes in pixels of the page, and the size of them all.
 * @param {EmbeddingMap} map
 */
function scene(map) {
  const { theme: colors, data } = map;
  const measure = contextOf(element("canvas"));
  /** @type {Shape[]} */
  const shapes = [];
  /** @param {string} words @param {number} x @param {number} y @param {number} size */
  const text = (words, x, y, size, options = {}) =>
    shapes.push({ kind: "text", words, x, y, size, color: colors.text, weight: 400, opacity: 1, ...options });
  let x = MARGIN;
  let bottom = 0;
  map.panels.forEach((panel, place) => {
    const { title, subtitle, stats } = data.panels[place];
    const { width, height } = view(panel);
    text(title, x, MARGIN + 14, 16, { weight: 600, width });
    text(subtitle, x, MARGIN + 14 + LINE, 12, { opacity: 0.72, width });
    text(stats.map((stat) => `${stat.value} ${stat.label}`).join("   "), x, MARGIN + 14 + 2 * LINE, 12, { width });
    const top = MARGIN + 14 + 3 * LINE;
    shapes.push({ kind: "map", panel, x, y: top, width, height });
    x += width + GAP;
    bottom = Math.max(bottom, top + height);
  });
  const width = x - GAP + MARGIN;
  const { color } = data;
  let y = bottom + 2 * LINE;
  x = MARGIN;
  if (color.label) {
    text(color.label, x, y, 13, { opacity: 0.72 });
    measure.font = `13px ${colors.font}`;
    x += measure.measureText(color.label).width + 18;
    if (isScale(color)) {
      text(valueText(color, color.low), x, y, 13);
      x += measure.measureText(valueText(color, color.low)).width + 8;
      const stops = Array.from({ length: 13 }, (_, i) => cssColor(scaleColor(color.kind, i / 12, colors.dark)));
      shapes.push({ kind: "bar", x, y: y - 10, width: 200, height: 10, stops });
      text(valueText(color, color.high), x + 208, y, 13);
    } else {
      color.names.forEach((name, group) => {
        if (map.hidden.has(group)) return;
        const length = measure.measureText(name).width + 34;
        if (x + length > width - MARGIN) [x, y] = [MARGIN, y + LINE + 3];
        const fill = cssColor(groupColor(map, color.colors[group]));
        shapes.push({ kind: "circle", x: x + 5, y: y - 4.5, radius: 5, fill });
        text(name, x + 16, y, 13);
        x += length;
      });
    }
  }
  if (map.numChosen) text(summary(map), MARGIN, (y += LINE + 6), 13);
  return { width, height: y + MARGIN, shapes };
}

// --- PNG ---

/** @param {EmbeddingMap} map */
function drawScene(map) {
  const { width, height, shapes } = scene(map);
  const canvas = element("canvas");
  canvas.width = Math.ceil(width * PICTURE_SCALE);
  canvas.height = Math.ceil(height * PICTURE_SCALE);
  const context = contextOf(canvas);
  context.scale(PICTURE_SCALE, PICTURE_SCALE);
  context.fillStyle = map.theme.background;
  context.fillRect(0, 0, width, height);
  for (const shape of shapes) {
    context.globalAlpha = shape.opacity ?? 1;
    if (shape.kind === "text") {
      context.font = `${shape.weight} ${shape.size}px ${map.theme.font}`;
      context.fillStyle = shape.color;
      context.fillText(shape.words, shape.x, shape.y, shape.width);
    } else if (shape.kind === "circle") {
      context.fillStyle = shape.fill;
      context.beginPath();
      context.arc(shape.x, shape.y, shape.radius, 0, 2 * Math.PI);
      context.fill();
    } else if (shape.kind === "bar") {
      const fill = context.createLinearGradient(shape.x, 0, shape.x + shape.width, 0);
      shape.stops.forEach((stop, i) => fill.addColorStop(i / (shape.stops.length - 1), stop));
      context.fillStyle = fill;
      context.fillRect(shape.x, shape.y, shape.width, shape.height);
    } else {
      context.drawImage(pointsCanvas(map, shape.panel, PICTURE_SCALE), shape.x, shape.y, shape.width, shape.height);
      context.save();
      context.translate(shape.x, shape.y);
      context.beginPath();
      context.rect(0, 0, shape.width, shape.height);
      context.clip();
      drawRings(map, shape.panel, context, PICTURE_SCALE);
      drawNames(map, shape.panel, context);
      drawOwnMarks(map, shape.panel, context);
      context.restore();
      context.strokeStyle = map.theme.border;
      context.strokeRect(shape.x, shape.y, shape.width, shape.height);
    }
  }
  return canvas;
}

/** @param {EmbeddingMap} map */
export function savePng(map) {
  drawScene(map).toBlob((blob) => blob && download(blob, fileName(map, "png")));
}

// --- SVG ---

const short = (/** @type {number} */ value) => String(Math.round(value * 100) / 100);

/**
 * The image of a row as it is drawn, frame and all.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} index
 */
function imageNode(map, panel, index) {
  const { side } = look(map, panel);
  const [x, y] = position(panel, view(panel), index);
  const canvas = element("canvas");
  canvas.width = canvas.height = Math.ceil(side * PICTURE_SCALE);
  const context = contextOf(canvas);
  context.scale(PICTURE_SCALE, PICTURE_SCALE);
  context.translate(side / 2 - x, side / 2 - y);
  drawThumbnails(map, panel, context, PICTURE_SCALE, [index]);
  const at = { x: short(x - side / 2), y: short(y - side / 2), width: short(side), height: short(side) };
  return svgElement("image", { href: canvas.toDataURL("image/png"), ...at });
}

/**
 * What stands on a map besides its own images, as one picture.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} width @param {number} height
 */
function ownMarksNode(map, panel, width, height) {
  const canvas = element("canvas");
  canvas.width = Math.round(width * PICTURE_SCALE);
  canvas.height = Math.round(height * PICTURE_SCALE);
  const context = contextOf(canvas);
  context.scale(PICTURE_SCALE, PICTURE_SCALE);
  drawOwnMarks(map, panel, context);
  return svgElement("image", { href: canvas.toDataURL("image/png"), width: short(width), height: short(height) });
}

/** @param {EmbeddingMap} map @param {MapShape} shape */
function mapNode(map, { panel, x, y, width, height }) {
  const size = { width: short(width), height: short(height) };
  const group = svgElement("svg", { x: short(x), y: short(y), ...size });
  const frame = view(panel);
  const { radius, litOpacity, dimOpacity } = look(map, panel);
  const images = new Set(panel.rows.filter((index) => tileOf(map, index)));
  const isPicture = panel.points.length / 2 > MAX_CIRCLES;
  if (isPicture) {
    const href = pointsCanvas(map, panel, PICTURE_SCALE).toDataURL("image/png");
    group.append(svgElement("image", { href, ...size }));
  } else {
    for (const level of [DIM, LIT]) {
      const byColor = new Map();
      for (const i of map.order) {
        if (panel.levels[i] !== level || images.has(i)) continue;
        const [px, py] = position(panel, frame, i);
        if (px < -radius || py < -radius || px > width + radius || py > height + radius) continue;
        const circle = svgElement("circle", { cx: short(px), cy: short(py), r: short(radius) });
        const color = panel.colors[i];
        if (!byColor.has(color)) byColor.set(color, []);
        byColor.get(color).push(circle);
      }
      for (const [color, circles] of byColor) {
        const fill = unpackedColor(color);
        group.append(svgElement("g", { fill, "fill-opacity": level === LIT ? litOpacity : dimOpacity }, ...circles));
      }
      for (const i of images) if (panel.levels[i] === level) group.append(imageNode(map, panel, i));
    }
  }
  const shade = shading(map, panel);
  if (shade && !isPicture) {
    const at = { x: short(shade.x), y: short(shade.y), width: short(shade.width), height: short(shade.height) };
    group.append(
      svgElement("image", { href: shade.picture.toDataURL("image/png"), preserveAspectRatio: "none", ...at }),
    );
  }
  for (const { color, opacity, rings: closed } of isPicture ? [] : outlines(map, panel)) {
    const d = closed.map((ring) => `M${ring.map(([px, py]) => `${short(px)} ${short(py)}`).join("L")}Z`).join("");
    const line = { stroke: color, "stroke-width": OUTLINE_WIDTH, "stroke-linejoin": "round" };
    const fill = { fill: color, "fill-opacity": FILL_OPACITY, "fill-rule": "evenodd" };
    group.append(svgElement("path", { d, ...fill, ...line, opacity }));
  }
  for (const { index, size, line, corner } of rings(map, panel)) {
    const [cx, cy] = position(panel, frame, index);
    const stroke = { fill: "none", stroke: map.theme.text, "stroke-width": line };
    if (corner === size) {
      group.append(svgElement("circle", { cx: short(cx), cy: short(cy), r: short(size), ...stroke }));
      continue;
    }
    group.append(imageNode(map, panel, index));
    const box = { x: short(cx - size), y: short(cy - size), width: short(2 * size), height: short(2 * size) };
    group.append(svgElement("rect", { ...box, rx: corner, ...stroke }));
  }
  for (const { words, color, x, y, seen } of placedNames(map, panel).placed) {
    const at = { x: short(x), y: short(y), "text-anchor": "middle", "dominant-baseline": "central" };
    const halo = { stroke: map.theme.background, "stroke-width": 2 * HALO_WIDTH, "stroke-linejoin": "round" };
    const font = { "font-size": NAME_SIZE, "font-weight": NAME_WEIGHT, fill: color, opacity: short(seen) };
    group.append(svgElement("text", { ...at, ...halo, ...font, "paint-order": "stroke" }, words));
  }
  if (ownStamp(map)) group.append(ownMarksNode(map, panel, width, height));
  group.append(svgElement("rect", { ...size, fill: "none", stroke: map.theme.border }));
  return group;
}

/** @param {EmbeddingMap} map */
function svgText(map) {
  const { width, height, shapes } = scene(map);
  const size = { width: short(width), height: short(height) };
  const viewBox = `0 0 ${size.width} ${size.height}`;
  const root = svgElement("svg", { xmlns: SVG, ...size, viewBox, "font-family": map.theme.font });
  root.append(svgElement("rect", { width: "100%", height: "100%", fill: map.theme.background }));
  shapes.forEach((shape, place) => {
    if (shape.kind === "text") {
      const at = { x: short(shape.x), y: short(shape.y), "font-size": shape.size, fill: shape.color };
      const look = { "font-weight": shape.weight, "fill-opacity": shape.opacity };
      root.append(svgElement("text", { ...at, ...look }, shape.words));
    } else if (shape.kind === "circle") {
      root.append(svgElement("circle", { cx: short(shape.x), cy: short(shape.y), r: shape.radius, fill: shape.fill }));
    } else if (shape.kind === "bar") {
      const id = `scale-${place}`;
      const { x, y, width, height } = shape;
      const last = shape.stops.length - 1;
      const stops = shape.stops.map((stop, i) => svgElement("stop", { offset: i / last, "stop-color": stop }));
      root.append(svgElement("defs", {}, svgElement("linearGradient", { id }, ...stops)));
      root.append(svgElement("rect", { x: short(x), y: short(y), width, height, fill: `url(#${id})` }));
    } else {
      root.append(mapNode(map, shape));
    }
  });
  return new XMLSerializer().serializeToString(root);
}

/** @param {EmbeddingMap} map */
export function saveSvg(map) {
  download(new Blob([svgText(map)], { type: "image/svg+xml" }), fileName(map, "svg"));
}
