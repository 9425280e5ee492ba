// A grid of plotly charts that show the same runs, one metric each.
//
// Lines arrive as packed numbers. Those of one look are drawn as one trace with gaps, so that 200 runs cost plotly
// little more than eight. A second, invisible mount brings the lines that changed since the grid was drawn. Pointing
// at a chart reads all its lines at one place, and marks the place in all charts. Every text is set with textContent.

import { element } from "../common/elements.js";
import { helpMark } from "../common/help.js";
import { endChart, loadPlotly } from "../common/plotly.js";
import { later } from "./drawing.js";
import { ICONS, iconButton } from "./elements.js";
import { takeIn } from "./lines.js";
import { savePicture } from "./picture.js";
import { hideTooltip, onKey, onPointer } from "./reading.js";

/** @import { Component } from "../common/types.js" */
/** @import { Card, Grid, GridData, Spec, UpdateData } from "./types.js" */

/** @type {Map<string, Grid>} */
const grids = new Map(); // by key: updates find their grid, and a grid that comes back finds its zoom
/** @type {Map<string, { apply: () => void }>} */
const waiting = new Map(); // updates that came before their grid

/** @param {Grid} grid @param {Spec} spec */
function makeCard(grid, spec) {
  const card = /** @type {Card} */ ({
    grid,
    id: spec.id,
    spec,
    lines: /** @type {Card["lines"]} */ ([]),
    visible: false,
    notBefore: 0,
  });
  card.node = element("section", "cg-card");
  card.title = element("h2", "cg-title");
  card.note = element("span", "cg-note");
  card.enlarge = iconButton("enlarge", "", () => {
    grid.large = grid.large === card.id ? "" : card.id;
    grid.component.setStateValue("large", grid.large);
    arrange(grid);
    if (grid.large) card.node.scrollIntoView({ block: "nearest" });
  });
  const head = element("header", "cg-head");
  head.append(
    card.title,
    card.note,
    element("span", "cg-space"),
    iconButton("picture", "Save as PNG", () => savePicture(card)),
    card.enlarge,
  );
  card.plot = /** @type {Card["plot"]} */ (/** @type {unknown} */ (element("div", "cg-plot")));
  card.plot.tabIndex = 0;
  card.plot.setAttribute("role", "group"); // not an image: it is stepped through with the arrow keys
  card.plot.setAttribute("aria-roledescription", "chart");
  card.plot.setAttribute("aria-label", spec.title);
  card.cursor = element("div", "cg-cursor");
  card.tooltip = element("div", "cg-tooltip");
  card.tooltip.setAttribute("role", "status");
  card.tooltip.hidden = card.cursor.hidden = true;
  card.empty = element("p", "cg-empty");
  card.empty.hidden = true; // until it was looked for lines
  const body = element("div", "cg-body");
  body.append(card.plot, card.cursor, card.tooltip);
  card.node.append(head, body, card.empty);
  card.plot.addEventListener("pointermove", (event) => onPointer(card, event));
  card.plot.addEventListener("pointerdown", (event) => event.pointerType !== "mouse" && onPointer(card, event));
  card.plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTooltip(grid));
  card.plot.addEventListener("keydown", (event) => onKey(card, event));
  card.plot.addEventListener("blur", () => hideTooltip(grid));
  grid.sight.observe(card.node);
  return card;
}

/** @param {Grid} grid */
function arrange(grid) {
  for (const card of grid.cards.values()) {
    const large = grid.large === card.id;
    const height = `${large ? grid.data.large_height : grid.data.height}px`;
    card.node.classList.toggle("large", large);
    const label = large ? `Back to the grid` : `Enlarge ${card.spec.title}`;
    card.enlarge.title = label;
    card.enlarge.setAttribute("aria-label", label);
    card.enlarge.setAttribute("aria-pressed", String(large));
    card.enlarge.querySelector("path")?.setAttribute("d", large ? ICONS.shrink : ICONS.enlarge);
    if (card.plot.style.height !== height) {
      card.plot.style.height = height;
      later(card);
    }
  }
}

/** @param {Grid} grid @param {GridData} data */
function refresh(grid, data) {
  const all = data.base !== grid.base;
  grid.data = data;
  if (!all) return;
  grid.base = data.base;
  grid.lines.clear();
  grid.runs = new Map(data.runs.map((run) => [run.id, run]));
  takeIn(grid, data.lines);
  const before = grid.cards;
  grid.cards = new Map();
  for (const spec of data.charts) {
    const card = before.get(spec.id) || makeCard(grid, spec);
    before.delete(spec.id);
    card.spec = spec;
    card.title.textContent = spec.title;
    card.note.replaceChildren(...helpMark(spec.title, spec.help));
    card.empty.textContent = spec.empty;
    grid.cards.set(spec.id, card);
    later(card);
  }
  for (const card of before.values()) discard(card);
  grid.node?.replaceChildren(...[...grid.cards.values()].map((card) => card.node));
  grid.node?.style.setProperty("--columns", data.charts.length > 1 ? "2" : "1");
  arrange(grid);
  const update = waiting.get(grid.key);
  if (update) update.apply();
}

/** @param {Card} card */
function discard(card) {
  card.grid.sight.unobserve(card.node);
  if (card.grid.plotly) endChart(card.grid.plotly, card.plot);
  card.node.remove();
}

/** @param {UpdateData} data */
function update(data) {
  const apply = () => {
    const grid = grids.get(data.key);
    if (!grid?.node || grid.base !== data.base) return;
    for (const id of takeIn(grid, data.lines)) {
      const card = grid.cards.get(id);
      if (card) later(card, false);
    }
  };
  waiting.set(data.key, { apply });
  apply();
}

/** @param {Grid} grid @param {HTMLElement} parentElement @param {GridData} data */
function mount(grid, parentElement, data) {
  grid.node = element("div", "curve-grid");
  parentElement.append(grid.node);
  grid.base = "";
  grid.large = data.large;
  grid.lines = new Map();
  grid.runs = new Map();
  grid.cards = new Map();
  grid.sight = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const card = [...grid.cards.values()].find((one) => one.node === entry.target);
        if (!card) continue;
        card.visible = entry.isIntersecting;
        if (card.visible && card.dirty) later(card, false);
      }
    },
    { rootMargin: "200px" },
  );
  grid.resize = new ResizeObserver(() => {
    for (const card of grid.cards.values()) {
      const width = card.plot.clientWidth;
      if (width && card.width !== undefined && width !== card.width) later(card);
    }
  });
  grid.resize.observe(grid.node);
  const repaint = () => {
    for (const card of grid.cards.values()) later(card);
  };
  grid.dark = window.matchMedia("(prefers-color-scheme: dark)");
  grid.onTheme = () => setTimeout(repaint, 300);
  grid.dark.addEventListener("change", grid.onTheme);
  loadPlotly(data.plotly).then(
    (plotly) => {
      grid.plotly = plotly;
      repaint();
    },
    (error) => grid.node?.replaceChildren(element("p", "cg-empty", `${error.message}; reload the page.`)),
  );
}

/** @param {Component<GridData | UpdateData>} component */
export default function curveGrid(component) {
  const { parentElement, data } = component;
  if (data.mode === "update") {
    update(data);
    return () => waiting.delete(data.key);
  }
  let grid = grids.get(data.key);
  if (!grid) grids.set(data.key, (grid = /** @type {Grid} */ ({ key: data.key, zooms: new Map() })));
  if (grid.parent !== parentElement) {
    grid.unmount?.();
    grid.parent = parentElement;
    mount(grid, parentElement, data);
    grid.unmount = () => {
      grid.resize.disconnect();
      grid.sight.disconnect();
      grid.dark.removeEventListener("change", grid.onTheme);
      for (const card of grid.cards.values()) discard(card);
      for (const kept of [grid.cards, grid.lines, grid.runs]) kept.clear(); // the zoom is enough to come back to
      grid.node?.remove();
      grid.node = grid.parent = grid.unmount = null;
    };
  }
  grid.component = /** @type {Component<GridData>} */ (component);
  refresh(grid, data);
  return () => grid.parent === parentElement && grid.unmount?.();
}
