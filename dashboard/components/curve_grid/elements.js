// Buttons with a drawing.

import { button, svgElement } from "../common/elements.js";

export const ICONS = {
  enlarge: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  shrink: "M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5",
  picture: "M12 4v11m-4-4 4 4 4-4M4 20h16",
};

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
