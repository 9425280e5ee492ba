// One image operation by operation: a block for each view, the original with its crop first.

import { element } from "../common/elements.js";
import { frame, heading, tile } from "./parts.js";

/** @import { StepsData } from "./types.js" */

/** @param {StepsData} data */
export function drawSteps(data) {
  const blocks = element("div", "blocks");
  data.views.forEach((view, which) => {
    const name = which ? "two" : "one";
    const figure = element("figure", name);
    figure.setAttribute("aria-label", `View ${which + 1} of ${data.title}, operation by operation`);
    const list = element("ol", "steps");
    /** @param {string} title @param {HTMLElement} picture @param {string} value @param {boolean} applied */
    const step = (title, picture, value, applied) => {
      const item = element("li", applied ? "" : "skipped");
      item.append(heading(title), picture, element("div", "value", value));
      list.append(item);
    };
    const original = tile(data.original, 0, 0, 1, 1, data.title);
    frame(original, view.box, which);
    step(data.title, original, "original", true);
    view.steps.forEach(([title, value, applied], place) => {
      const picture = tile(data.sprite, place, which, view.steps.length, data.views.length, `${title}: ${value}`);
      step(title, picture, value, applied);
    });
    figure.append(heading(`View ${which + 1}`, name), list);
    blocks.append(figure);
  });
  return blocks;
}
