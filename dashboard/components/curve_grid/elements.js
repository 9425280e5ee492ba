// Buttons with a drawing, and a short piece of a run's line.

import { button, svgElement } from "../common/elements.js";

/** @import { Look } from "./types.js" */

export const ICONS = {
  enlarge: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  shrink: "M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5",
  picture: "M12 4v11m-4-4 4 4 4-4M4 20h16",
};
/** @type {Record<string, string>} */
const DASH_ARRAYS = { dash: "5 3", dashdot: "5 2 1 2", longdash: "8 3", dot: "1.5 2" };

/** @param {keyof typeof ICONS} name @param {string} label @param {() => void} action */
export function iconButton(name, label, action) {
  const path = svgElement("path", {
    d: ICONS[name],
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.8,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  });
  const found = button(undefined, label, action, "cg-button");
  found.append(svgElement("svg", { viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" }, path));
  return found;
}

/** @param {Look} look */
export function swatch(look) {
  const line = svgElement("line", {
    x1: 1,
    x2: 21,
    y1: 4,
    y2: 4,
    stroke: look.color,
    "stroke-width": look.faint ? 1.6 : 2.6,
  });
  if (DASH_ARRAYS[look.dash]) line.setAttribute("stroke-dasharray", DASH_ARRAYS[look.dash]);
  return svgElement("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" }, line);
}
