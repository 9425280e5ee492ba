// Elements of a page and of a drawing. Text is set with textContent: names of runs and classes are never read as markup.

/** @template {keyof HTMLElementTagNameMap} Tag @param {Tag} tag @param {string} [className] @param {string} [text] */
export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * What assistive software calls a button: `label`, after the text that is seen where that is a word of its own, so that
 * it can be named aloud.
 * @param {string | undefined} text @param {string} label
 */
export function spokenName(text, label) {
  const isWord = text !== undefined && text.length > 1;
  return isWord && !label.startsWith(text) ? `${text}: ${label}` : label;
}

/**
 * `label` says what it does where its text does not, or not well enough.
 * @param {string | undefined} text @param {string | undefined} label @param {(event: MouseEvent) => void} action
 * @param {string} [className]
 */
export function button(text, label, action, className) {
  const node = element("button", className, text);
  node.type = "button";
  if (label) {
    node.title = label;
    node.setAttribute("aria-label", spokenName(text, label));
  }
  node.onclick = action;
  return node;
}

export const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof SVGElementTagNameMap} Tag @param {Tag} tag @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function svgElement(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/**
 * What draws on a canvas; every browser has it.
 * @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [options]
 */
export function contextOf(canvas, options) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", options));
}

/** @type {Record<string, string>} */
const DASHES = { dash: "5 3", dashdot: "5 2 1 2", longdash: "8 3", dot: "1.5 2" };

/**
 * A short piece of a run's line, of so many pixels.
 * @param {{ color: string, dash: string }} look @param {number} length @param {number} width
 */
export function swatch({ color, dash }, length, width) {
  const line = svgElement("line", { x1: 1, x2: length - 1, y1: 4, y2: 4, stroke: color, "stroke-width": width });
  if (DASHES[dash]) line.setAttribute("stroke-dasharray", DASHES[dash]);
  return svgElement("svg", { viewBox: `0 0 ${length} 8`, width: length, height: 8, "aria-hidden": "true" }, line);
}
