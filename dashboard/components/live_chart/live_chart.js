// One plotly figure per mounted element, kept alive between refreshes. Text reaches the page through plotly and
// textContent alone, so that a run's name is never read as markup.

const charts = new WeakMap();

function loadPlotly(url) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  if (!window.simclrPlotly) {
    window.simclrPlotly = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => {
        window.simclrPlotly = null;
        reject(new Error("plotly.js could not be loaded"));
      };
      document.head.appendChild(script);
    });
  }
  return window.simclrPlotly;
}

function theme(element) {
  const style = getComputedStyle(element);
  const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  return {
    text: value("--st-text-color", "#1a2130"),
    border: value("--st-border-color", "#e0e5ee"),
    background: value("--st-background-color", "#ffffff"),
    font: value("--st-font", "sans-serif"),
    primary: value("--st-primary-color", "#3f5be0"),
  };
}

function withAlpha(color, alpha) {
  const match = /^#([0-9a-f]{6})$/i.exec(color);
  if (!match) return color;
  const number = parseInt(match[1], 16);
  return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
}

function paint(figure, colors) {
  const muted = withAlpha(colors.text, 0.62);
  const named = (color) => (color === "muted" ? muted : color === "primary" ? colors.primary : color);
  const axis = {
    gridcolor: withAlpha(colors.text, 0.09), zeroline: false, linecolor: colors.border,
    tickfont: { color: muted, size: 11 }, automargin: true, fixedrange: false,
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
    if (layout[name].title) layout[name].title = { font: { color: muted, size: 11 }, standoff: 8, ...layout[name].title };
  }
  for (const note of layout.annotations || []) note.font = { color: muted, size: 11, ...(note.font || {}) };
  layout.paper_bgcolor = "rgba(0,0,0,0)";
  layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { family: colors.font, color: colors.text, size: 12 };
  layout.hoverlabel = {
    bgcolor: colors.background, bordercolor: colors.border, font: { family: colors.font, color: colors.text, size: 12 },
    namelength: -1,
  };
  layout.legend = { font: { color: colors.text, size: 11 }, bgcolor: "rgba(0,0,0,0)", ...(layout.legend || {}) };
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: withAlpha(colors.text, 0.4), activecolor: colors.primary };
  return figure;
}

function draw(chart) {
  if (!chart.plotly || !chart.node.isConnected) return;
  const colors = theme(chart.node);
  const stamp = chart.revision + JSON.stringify(colors) + chart.height;
  if (stamp === chart.drawn) return;
  chart.drawn = stamp;
  const figure = paint(JSON.parse(chart.figure), colors);
  // A constant uirevision: plotly then keeps zoom, pan and hidden lines from one update to the next.
  const layout = { ...figure.layout, uirevision: "keep", height: chart.height, autosize: true };
  chart.plotly.react(chart.node, figure.data, layout, {
    displaylogo: false, responsive: false, doubleClick: "reset",
    showSendToCloud: false, plotlyServerURL: "", // nothing leaves this machine
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
  });
}

export default function (component) {
  const { parentElement, data } = component;
  let chart = charts.get(parentElement);
  if (!chart) {
    const node = document.createElement("div");
    node.className = "live-chart";
    parentElement.appendChild(node);
    chart = { node, drawn: "" };
    charts.set(parentElement, chart);
    chart.resize = new ResizeObserver(() => {
      const width = node.clientWidth;
      if (chart.plotly && chart.drawn && width && width !== chart.width) {
        chart.width = width;
        chart.plotly.Plots.resize(node);
      }
    });
    chart.resize.observe(parentElement);
    chart.dark = window.matchMedia("(prefers-color-scheme: dark)");
    chart.onTheme = () => setTimeout(() => draw(chart), 300);
    chart.dark.addEventListener("change", chart.onTheme);
    loadPlotly(data.plotly).then(
      (plotly) => {
        chart.plotly = plotly;
        draw(chart);
      },
      (error) => {
        const text = document.createElement("p");
        text.className = "live-chart-wait";
        text.textContent = error.message + "; reload the page.";
        node.replaceChildren(text);
      },
    );
  }
  chart.figure = data.figure;
  chart.revision = data.revision;
  chart.height = data.height;
  chart.node.style.height = `${data.height}px`;
  draw(chart);
  return () => {
    chart.resize.disconnect();
    chart.dark.removeEventListener("change", chart.onTheme);
    if (chart.plotly) chart.plotly.purge(chart.node);
    chart.node.remove();
    charts.delete(parentElement);
  };
}
