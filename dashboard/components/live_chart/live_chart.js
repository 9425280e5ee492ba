// One plotly figure per mounted element, kept alive between refreshes. Text reaches the page through textContent and
// through plotly, which reads some HTML: the figure comes with every text escaped.

import { element } from "../common/elements.js";
import { isOwn, openAddress } from "../common/leaving.js";
import { drawChart, endChart, loadPlotly, MIN_CHART_WIDTH, paint } from "../common/plotly.js";
import { discardState, stateIn } from "../common/states.js";
import { theme } from "../common/theme.js";

/** @import { Component, FrameDetail } from "../common/types.js" */
/** @import { Chart, ChartData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Chart>} */
const charts = new WeakMap();
const UPDATE_MS = 100;

/** @param {Chart} chart */
function draw(chart) {
  if (!chart.plotly || !chart.node.isConnected || chart.node.clientWidth < MIN_CHART_WIDTH) return;
  const colors = theme(chart.node);
  const stamp = chart.revision + JSON.stringify(colors) + chart.height;
  if (stamp === chart.drawn) return;
  const isFirst = !chart.drawn;
  chart.drawn = stamp;
  const figure = paint(JSON.parse(chart.figure), colors);
  // A constant uirevision: plotly then keeps zoom, pan and hidden lines from one update to the next.
  const layout = { ...figure.layout, uirevision: "keep", height: chart.height, autosize: true };
  drawChart(chart.plotly, chart.node, figure.data, layout, {
    doubleClick: "reset",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
  });
  if (isFirst) chart.node.on("plotly_click", openPoint);
}

/**
 * A chart that is there already is drawn anew after what else has come with its figure: that may be a map which moves,
 * and a chart takes some tens of milliseconds.
 * @param {Chart} chart
 */
function drawSoon(chart) {
  if (!chart.drawn) return draw(chart);
  clearTimeout(chart.timer);
  chart.timer = setTimeout(() => draw(chart), UPDATE_MS);
}

/**
 * Goes where a point leads: its `customdata` is an address of this dashboard.
 * @param {{ points?: { customdata?: unknown }[] }} [event]
 */
function openPoint(event) {
  const href = event?.points?.map((point) => point.customdata).find((data) => typeof data === "string");
  if (typeof href === "string" && isOwn(href)) openAddress(href);
}

/**
 * A cursor, the first of the figure's shapes, goes along with a film on the same page: `layout.meta` names it in `follow`,
 * and `places` are the cursor's x at each frame.
 * @param {Chart} chart @param {FrameDetail} detail
 */
function followFilm(chart, { key, frame }) {
  const meta = chart.node.layout?.meta;
  if (!chart.plotly || !meta?.follow || meta.follow !== key) return;
  const x = meta.places[Math.round(frame)];
  if (x === undefined || chart.node.layout.shapes[0].x0 === x) return;
  chart.plotly.relayout(chart.node, { "shapes[0].x0": x, "shapes[0].x1": x });
}

/** @param {HTMLElement} parentElement @param {ChartData} data */
function makeChart(parentElement, data) {
  const chart = /** @type {Chart} */ ({ node: element("div", "live-chart"), drawn: "" });
  chart.resize = new ResizeObserver(() => {
    const width = chart.node.clientWidth;
    if (!chart.plotly || width < MIN_CHART_WIDTH || width === chart.width) return;
    chart.width = width;
    if (chart.drawn) chart.plotly.Plots.resize(chart.node);
    else draw(chart);
  });
  chart.resize.observe(parentElement);
  chart.dark = window.matchMedia("(prefers-color-scheme: dark)");
  chart.onTheme = () => setTimeout(() => draw(chart), 300);
  chart.dark.addEventListener("change", chart.onTheme);
  chart.onFrame = (event) => followFilm(chart, event.detail);
  window.addEventListener("simclr-frame", chart.onFrame);
  loadPlotly(data.plotly).then(
    (plotly) => {
      chart.plotly = plotly;
      draw(chart);
    },
    (error) => chart.node.replaceChildren(element("p", "live-chart-wait", `${error.message}; reload the page.`)),
  );
  return chart;
}

/** @param {Component<ChartData>} component */
export default function liveChart({ parentElement, data }) {
  const chart = stateIn(charts, parentElement, () => makeChart(parentElement, data));
  chart.figure = data.figure;
  chart.revision = data.revision;
  chart.height = data.height;
  chart.node.setAttribute("role", "figure");
  chart.node.setAttribute("aria-label", data.label);
  chart.node.style.height = `${data.height}px`;
  drawSoon(chart);
  return () => {
    clearTimeout(chart.timer);
    chart.resize.disconnect();
    chart.dark.removeEventListener("change", chart.onTheme);
    window.removeEventListener("simclr-frame", chart.onFrame);
    if (chart.plotly) endChart(chart.plotly, chart.node);
    discardState(charts, parentElement);
  };
}
