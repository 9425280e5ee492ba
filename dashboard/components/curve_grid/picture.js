// A chart as a picture to keep.

import { paint } from "../common/plotly.js";
import { theme } from "../common/theme.js";
import { layoutOf, tracesOf } from "./lines.js";

/** @import { Card, Run } from "./types.js" */

/**
 * The chart with a title and the names of its runs, on the page's background.
 * @param {Card} card
 */
export function savePicture(card) {
  const { grid, spec } = card;
  const colors = theme(card.node);
  const runs = [...new Set(card.lines.map((line) => line.run))].slice(0, 40);
  const names = runs
    .map((id) => /** @type {Run} */ (grid.runs.get(id)))
    .map(({ title, color, dash }) => ({
      type: "scatter",
      mode: "lines",
      x: [null],
      y: [null],
      name: title,
      line: { color, dash, width: 2.4 },
    }));
  const height = 560 + 24 * Math.ceil(names.length / 3);
  const figure = paint(
    { data: [...tracesOf(grid, card.lines), ...names], layout: layoutOf(grid, card, height) },
    colors,
  );
  Object.assign(figure.layout, {
    width: 1100,
    autosize: false,
    showlegend: true,
    paper_bgcolor: colors.background,
    plot_bgcolor: colors.background,
    margin: { l: 60, r: 24, t: 56, b: 48 },
    title: { text: spec.title.replace(/[<>&]/g, " "), x: 0.01, font: { size: 17 } },
    legend: { ...figure.layout.legend, orientation: "h", y: -0.14, yanchor: "top" },
  });
  for (const entry of names) entry.name = entry.name.replace(/[<>&]/g, " "); // plotly reads a little markup
  return grid.plotly?.downloadImage(
    { data: figure.data, layout: figure.layout },
    { format: "png", width: 1100, height, scale: 2, filename: `curves-${card.id.replace(/[^A-Za-z0-9]+/g, "-")}` },
  );
}
