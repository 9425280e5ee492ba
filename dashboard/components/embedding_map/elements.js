// Elements, icons, colours and the tiles of a sheet of images.

import { fromDataAddress } from "../common/bytes.js";
import { button, element, svgElement } from "../common/elements.js";
import { colorAt, luminance, rgb } from "../common/theme.js";
import { fitTile, SMOOTH_SIDE, setTile } from "../common/tiles.js";

/** @import { Rgb } from "../common/types.js" */
/** @import { Color, ColorKind, EmbeddingMap, Panel } from "./types.js" */

// Viridis (van der Walt and Smith 2015), told apart with every colour blindness and in grey.
const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4a89",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
].map(rgb);
const DARK_PAGE_LIGHT = 125;
/** @type {Rgb} */
export const UNKNOWN_COLOR = [138, 148, 166];

const ICONS = {
  move: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  lasso:
    "M7 15.2C4.6 14.2 3 12.2 3 10c0-3.4 4-6 9-6s9 2.6 9 6-4 6-9 6c-1.8 0-3.5-.3-5-.8a2 2 0 1 0-1.5 3.3c1 0 1.7-.7 1.5-1.7M5.5 18.5c.4 1 .2 1.8-.8 2.5",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5 20.5 20.5",
  save: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 19.5h14",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 5.5v13M15.5 5.5v13",
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const path = svgElement("path", { d: ICONS[name] });
  return svgElement("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, path);
}

/**
 * @param {keyof typeof ICONS} name @param {string} text @param {string} label @param {() => void} action
 * @param {string} [className]
 */
export function iconButton(name, text, label, action, className) {
  const found = button(text, label, action, className);
  found.replaceChildren(icon(name));
  if (text) found.append(element("span", "", text));
  return found;
}

// --- colours ---

/** @param {Color} color */
export function isScale(color) {
  return color.kind === "number" || color.kind === "cycle" || color.kind === "share";
}

/**
 * A share 0..1 as red, green and blue; the ends that would vanish on the page are left out.
 * @param {ColorKind} kind @param {number} share @param {boolean} dark @returns {Rgb}
 */
export function scaleColor(kind, share, dark) {
  if (kind === "cycle") {
    const light = dark ? 0.62 : 0.48;
    const spread = 0.78 * Math.min(light, 1 - light);
    const channel = (/** @type {number} */ shift) => {
      const place = (shift + 12 * share) % 12;
      return Math.round(255 * (light - spread * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
    };
    return [channel(0), channel(8), channel(4)];
  }
  const low = dark ? 0.22 : 0;
  const high = dark ? 1 : 0.9;
  return colorAt(VIRIDIS, low + (high - low) * Math.min(1, Math.max(0, share)));
}

/**
 * A colour of a group as the page shows it: on a dark one the dark colours are lightened.
 * @param {EmbeddingMap} map @param {string} text @returns {Rgb}
 */
export function groupColor(map, text) {
  const color = rgb(text);
  const light = luminance(color);
  if (!map.theme.dark || light >= DARK_PAGE_LIGHT) return color;
  const share = (DARK_PAGE_LIGHT - light) / (255 - light);
  return colorAt([color, [255, 255, 255]], share);
}

/** @param {Color} color @param {number} value */
export function valueText(color, value) {
  if (Number.isNaN(value)) return "unknown";
  if (color.kind === "share") return `${Math.round(100 * value)} %`;
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const count = (/** @type {number} */ number) => number.toLocaleString("en");

// --- images from the sheets ---

/**
 * A picture inside the page becomes an address of its own once, or each tile would read all of it again.
 * @param {EmbeddingMap} map @param {number} number
 */
function sheetAddress(map, number) {
  const address = map.data.sheets[number];
  if (!address?.startsWith("data:")) return address;
  if (!map.sheets.has(address)) {
    map.sheets.set(address, URL.createObjectURL(fromDataAddress(address)));
  }
  return map.sheets.get(address);
}

/**
 * Shows an image: `size` pixels wide, or as large as its element.
 * @param {HTMLElement} node @param {EmbeddingMap} map @param {number} index @param {number} [size]
 */
export function showImage(node, map, index, size) {
  const { side, columns, per_sheet: perSheet } = map.data.tile;
  const place = index % perSheet;
  const sheet = Math.floor(index / perSheet);
  const url = sheetAddress(map, sheet);
  node.classList.toggle("small", side < SMOOTH_SIDE);
  if (size) setTile(node, url, place, columns, size);
  else fitTile(node, url, place, columns, Math.ceil(Math.min(perSheet, map.count - sheet * perSheet) / columns));
}

/** @param {EmbeddingMap} map @param {number} index */
export function className(map, index) {
  return map.data.classes[map.labels[index]]?.name ?? "";
}

/** @param {EmbeddingMap} map @param {number} index */
export function imageName(map, index) {
  return className(map, index) || `Image ${map.ids[index]}`;
}

/**
 * What an image's colour says in a panel.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} index
 */
export function colorText(map, panel, index) {
  const { color } = map.data;
  return isScale(color) ? valueText(color, panel.values[index]) : (color.names[panel.groups[index]] ?? "unknown");
}

/**
 * For who listens to the page.
 * @param {EmbeddingMap} map @param {string} text
 */
export function say(map, text) {
  map.said.textContent = text;
}
