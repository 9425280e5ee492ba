// A line as small as a word.

import { element, svgElement } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Line, LineData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Line>} */
const drawnLines = new WeakMap();
const LINE_HEIGHT = 40; // of the drawing, in its own units; the width is 100
const LINE_MARGIN = 2;

/** @param {number[]} values the points of a line from corner to corner, as SVG writes them */
export function pointsOf(values) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  const room = LINE_HEIGHT - 2 * LINE_MARGIN;
  return values.map((value, place) => {
    const share = span > 0 ? (value - low) / span : 0.5;
    return `${((100 * place) / (values.length - 1)).toFixed(2)},${(LINE_MARGIN + room * (1 - share)).toFixed(2)}`;
  });
}

/** @param {Component<LineData>} component */
export default function sparkline({ parentElement, data }) {
  const line = stateIn(drawnLines, parentElement, () => ({ node: element("div", "sparkline"), drawn: "" }));
  const points = pointsOf(data.values).join(" ");
  if (points !== line.drawn) {
    line.drawn = points;
    line.node.setAttribute("role", "img");
    line.node.setAttribute("aria-label", data.label);
    line.node.replaceChildren(
      svgElement(
        "svg",
        { viewBox: `0 0 100 ${LINE_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        svgElement("polygon", { points: `0,${LINE_HEIGHT} ${points} 100,${LINE_HEIGHT}` }),
        svgElement("polyline", { points }),
      ),
    );
  }
  return () => discardState(drawnLines, parentElement);
}
