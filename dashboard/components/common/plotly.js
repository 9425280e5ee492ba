// What every component that draws with plotly needs: the library itself, loaded once, and figures in the page's colours.

import { withAlpha } from "./theme.js";

/** @import { Figure, Plotly, PlotlyNode, Theme } from "./types.js" */

/** @type {WeakMap<HTMLElement, Promise<unknown>>} */
const drawing = new WeakMap(); // charts, until plotly has said that it is done

// In an element narrower than this, as one is while the page is laid out, plotly hides every tick label and then places the
// title of the axis below the lowest of none, at -Infinity.
export const MIN_CHART_WIDTH = 100; // pixels

// Nothing leaves this machine.
const CHART_OPTIONS = {
  displaylogo: false,
  typesetMath: false,
  responsive: false,
  showSendToCloud: false,
  plotlyServerURL: "",
};

/** @param {string} url @returns {Promise<Plotly>} */
export function loadPlotly(url) {
  if (window.Plotly) return Promise.resolve(/** @type {Plotly} */ (window.Plotly));
  if (!window.simclrPlotly) {
    window.simclrPlotly = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      script.onload = () => resolve(/** @type {Plotly} */ (window.Plotly));
      script.onerror = () => {
        window.simclrPlotly = null;
        reject(new Error("plotly.js could not be loaded"));
      };
      document.head.appendChild(script);
    });
  }
  return window.simclrPlotly;
}

/**
 * Draws a figure, or what is new in it.
 * @param {Plotly} plotly @param {PlotlyNode} node @param {any[]} data @param {object} layout @param {object} config
 */
export function drawChart(plotly, node, data, layout, config) {
  drawing.set(node, plotly.react(node, data, layout, { ...CHART_OPTIONS, ...config }));
}

/**
 * Ends a chart. A drawing that has begun ends first: its last step is an event, and a chart that was purged has none.
 * @param {Plotly} plotly @param {PlotlyNode} node
 */
export function endChart(plotly, node) {
  return Promise.allSettled([drawing.get(node)]).then(() => plotly.purge(node));
}

/** @param {Figure} figure @param {Theme} colors */
export function paint(figure, colors) {
  const muted = withAlpha(colors.text, 0.72);
  const named = (/** @type {string} */ color) =>
    color === "muted" ? muted : color === "primary" ? colors.primary : color;
  const axis = {
    gridcolor: withAlpha(colors.text, 0.09),
    zeroline: false,
    linecolor: colors.border,
    tickfont: { color: muted, size: 11 },
    automargin: true,
    fixedrange: false,
  };
  for (const trace of figure.data) {
    if (trace.line) trace.line.color = named(trace.line.color);
    if (trace.marker) trace.marker.color = named(trace.marker.color);
    if (trace.textfont) trace.textfont.color = named(trace.textfont.color);
  }
  const layout = figure.layout;
  for (const name of Object.keys(layout)) {
    if (!/^[xy]axis\d*$/.test(name)) continue;
    layout[name] = { ...axis, ...layout[name] };
    if (layout[name].title)
      layout[name].title = { font: { color: muted, size: 11 }, standoff: 8, ...layout[name].title };
  }
  for (const note of layout.annotations || []) note.font = { color: muted, size: 11, ...(note.font || {}) };
  layout.paper_bgcolor = "rgba(0,0,0,0)";
  layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { family: colors.font, color: colors.text, size: 12 };
  layout.hoverlabel = {
    bgcolor: colors.background,
    bordercolor: colors.border,
    font: { family: colors.font, color: colors.text, size: 12 },
    namelength: -1,
  };
  layout.legend = { font: { color: colors.text, size: 11 }, bgcolor: "rgba(0,0,0,0)", ...(layout.legend || {}) };
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: withAlpha(colors.text, 0.4), activecolor: colors.primary };
  return figure;
}
