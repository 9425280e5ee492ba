// Charts are drawn one after another, so that the page answers in between.

import { drawChart, MIN_CHART_WIDTH, paint } from "../common/plotly.js";
import { theme } from "../common/theme.js";
import { layoutOf, linesOf, marksOf, tracesOf, zoomName } from "./lines.js";
import { hideTooltip } from "./reading.js";

/** @import { Card, Grid, Line } from "./types.js" */

/** @type {Card[]} */
const queue = [];
const SHARE = 1 / 40; // of the time that drawing one chart may take by refreshes; where all is slow they come less often
const MAX_SPOKEN = 6; // runs
let working = 0;

/**
 * `soon`: because of what the user did, not because of a refresh.
 * @param {Card} card @param {boolean} [soon]
 */
export function later(card, soon = true) {
  card.dirty = true;
  if (soon) card.notBefore = 0;
  if (!queue.includes(card)) queue.push(card);
  clearTimeout(working);
  working = setTimeout(work);
}

function work() {
  const now = performance.now();
  const gone = (/** @type {Card} */ card) => !card.node.isConnected;
  const next = queue.findIndex((card) => gone(card) || (card.visible && now >= card.notBefore));
  if (next >= 0) {
    const [card] = queue.splice(next, 1);
    if (!gone(card)) paintCard(card);
    requestAnimationFrame(() => (working = setTimeout(work)));
    return;
  }
  const waits = queue.filter((card) => card.visible).map((card) => card.notBefore - now);
  if (waits.length) working = setTimeout(work, Math.min(...waits));
}

/**
 * What the chart shows, in words: each run with its last value.
 * @param {Grid} grid @param {Card} card @param {Line[]} lines
 */
function spoken(grid, card, lines) {
  const shown = [...new Map(lines.filter((line) => !line.faint).map((line) => [line.run, line])).values()];
  const values = shown.slice(0, MAX_SPOKEN).map((line) => {
    const last = line.y.at(-1) ?? Number.NaN;
    return `${grid.runs.get(line.run)?.title ?? line.run} ${last.toPrecision(4)}`;
  });
  const more = shown.length - values.length;
  return `${card.spec.title} of ${shown.length} runs, last values: ${values.join(", ")}${more > 0 ? ` and ${more} more` : ""}. Arrow keys read values.`;
}

/** @param {Card} card */
function paintCard(card) {
  const { grid } = card;
  if (!grid.plotly || !card.dirty) return;
  card.dirty = false;
  const lines = linesOf(grid, card.id);
  card.lines = lines;
  card.empty.hidden = lines.length > 0;
  card.plot.hidden = !lines.length;
  if (!lines.length) return;
  card.width = card.plot.clientWidth;
  if (card.width < MIN_CHART_WIDTH) return; // painted when it is wider
  const height = grid.large === card.id ? grid.data.large_height : grid.data.height;
  const { marks } = card.spec;
  const traces = [...tracesOf(grid, lines), ...(marks ? marksOf(marks, lines) : [])];
  const figure = paint({ data: traces, layout: layoutOf(grid, card, height) }, theme(card.node));
  const started = performance.now();
  drawChart(grid.plotly, card.plot, figure.data, figure.layout, {
    doubleClick: "autosize",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"],
  });
  card.plot.drawMs = performance.now() - started; // told to who measures
  card.notBefore = started + card.plot.drawMs / SHARE;
  card.plot.setAttribute("aria-label", spoken(grid, card, lines));
  if (!card.listens) {
    card.listens = true;
    card.plot.on("plotly_relayout", () => {
      const { xaxis, yaxis } = card.plot._fullLayout;
      const name = zoomName(grid, card);
      if (xaxis.autorange && yaxis.autorange) grid.zooms.delete(name);
      else grid.zooms.set(name, { xaxis: [...xaxis.range], yaxis: [...yaxis.range] });
    });
  }
  hideTooltip(grid);
}
