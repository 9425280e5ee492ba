// Colour histograms of two crops of one image over each other, without and with the colour operations.

import { element, svgElement } from "../common/elements.js";
import { heading, tile } from "./parts.js";

/** @import { ShortcutData } from "./types.js" */

const CHANNELS = ["red", "green", "blue"];

/**
 * Three panels side by side; the first view filled, the second as a dashed line. Heights are square roots of shares, so
 * that rare colours are seen beside a plain background.
 * @param {number[][][]} views @param {string} label
 */
function histogram(views, label) {
  const width = 48;
  const gap = 5;
  const height = 36;
  const chart = svgElement("svg", {
    viewBox: `0 0 ${3 * width + 2 * gap} ${height + 10}`,
    role: "img",
    "aria-label": label,
  });
  CHANNELS.forEach((channel, place) => {
    const left = place * (width + gap);
    chart.append(svgElement("line", { x1: left, x2: left + width, y1: height, y2: height, class: "axis" }));
    views.forEach((view, which) => {
      const bins = view[place];
      const step = width / bins.length;
      let path = `M${left} ${height}`;
      bins.forEach((share, bin) => {
        path += `V${(height - (height - 2) * Math.sqrt(share / 1000)).toFixed(1)}H${(left + (bin + 1) * step).toFixed(1)}`;
      });
      chart.append(svgElement("path", { d: `${path}V${height}`, class: which ? "line two" : "area one" }));
    });
    chart.append(svgElement("text", { x: left + width / 2, y: height + 8, "text-anchor": "middle" }, channel));
  });
  return chart;
}

/** @param {ShortcutData} data */
export function drawShortcut(data) {
  const rows = element("div", "rows checks");
  data.rows.forEach((row, place) => {
    const figure = element("figure");
    figure.append(heading(row.title));
    row.arms.forEach((arm, which) => {
      const block = element("div", "arm");
      const pair = element("div", "pair");
      ["one", "two"].forEach((name, view) => {
        const cell = element("div", `framed ${name}`);
        cell.append(
          tile(data.sprite, 2 * which + view, place, 4, data.rows.length, `${data.arms[which]}, view ${view + 1}`),
        );
        pair.append(cell);
      });
      const isFound = !arm.rival || arm.partner > arm.rival[1];
      const words = element("div", "verdict");
      words.append(element("b", isFound ? "yes" : "no", isFound ? "Partner found" : "Not found"));
      const rival = arm.rival ? `; nearest other, ${arm.rival[0]}: ${arm.rival[1].toFixed(2)}` : "";
      words.append(element("span", "", `In common with its partner: ${arm.partner.toFixed(2)}${rival}`));
      const side = element("div", "side");
      side.append(histogram(arm.histograms, `${data.arms[which]}: histograms of both views of ${row.title}`));
      block.append(element("div", "head", data.arms[which]), pair, side, words);
      figure.append(block);
    });
    rows.append(figure);
  });
  return rows;
}
