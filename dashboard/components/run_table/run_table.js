// A table of runs: sorted, grouped and selected in the browser, and drawn only where one looks, so that five thousand
// rows are as quick as fifty. Every text is set with textContent: names of runs are never read as markup.

import { element } from "../common/elements.js";
import { followLink, openAddress } from "../common/leaving.js";
import { discardState, stateIn } from "../common/states.js";
import { drawBar } from "./grid_bar.js";
import { arrange, drawHead, drawLines, keepingFocus, lineHeight, markLines } from "./grid_drawing.js";
import { tidy, toggle } from "./grid_picks.js";

/** @import { Component } from "../common/types.js" */
/** @import { Grid, GridColumn, GridData, Line, Memory } from "./types.js" */

/** @type {WeakMap<HTMLElement, Grid>} */
const grids = new WeakMap();
/** @type {Map<string, Memory>} */
const memories = new Map();
const AGES_MS = 30_000;

/** @param {string} name */
function memoryOf(name) {
  let memory = memories.get(name);
  if (!memory) {
    memory = { picked: new Set(), closed: new Set(), top: 0 };
    memories.set(name, memory);
  }
  return memory;
}

/** @param {Grid} grid */
function redraw(grid) {
  if (grid.held) {
    grid.waiting = true;
    return;
  }
  keepingFocus(grid, () => {
    arrange(grid);
    drawHead(grid, (column) => sortBy(grid, column));
    drawLines(grid);
    drawBar(grid);
  });
}

/** @param {Grid} grid @param {GridColumn} column */
function sortBy(grid, column) {
  const isSorted = grid.sort.replace(/^-/, "") === column.name;
  const isNumber = !["words", "state", "name"].includes(column.kind);
  const down = isSorted ? !grid.sort.startsWith("-") : isNumber;
  grid.sort = `${down ? "-" : ""}${column.name}`;
  grid.component.setStateValue("sort", grid.sort);
  redraw(grid);
  const at = grid.columns.indexOf(column);
  const head = grid.head.querySelectorAll("th button")[at];
  if (head instanceof HTMLElement) head.focus({ preventScroll: true });
}

/** @param {Grid} grid */
function afterPick(grid) {
  markLines(grid);
  drawBar(grid);
}

/** @param {Grid} grid @param {Line} line */
function fold(grid, line) {
  if (!("group" in line)) return;
  const { closed } = grid.memory;
  if (!closed.delete(line.group.key)) closed.add(line.group.key);
  arrange(grid);
  drawLines(grid);
}

/** @param {Grid} grid @param {Line} line */
function openLine(grid, line) {
  if ("group" in line) fold(grid, line);
  else if (grid.data.pages.run) openAddress(`${grid.data.pages.run}?id=${encodeURIComponent(grid.rows.ids[line.row])}`);
}

/** @param {Grid} grid @param {MouseEvent} event */
function clicked(grid, event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const node = target.closest("tr");
  const line = node ? grid.drawnLines.get(node) : undefined;
  if (!node || !line) return;
  grid.active = Number(node.dataset.place);
  if (target.closest(".box") || (event.shiftKey && "row" in line)) {
    // a click in the cell beside the box counts as well
    // a link is not opened in a window of its own; a box keeps what it is set to below
    if (!(target instanceof HTMLInputElement)) event.preventDefault();
    toggle(grid, line, event.shiftKey);
    afterPick(grid);
    return;
  }
  if ("group" in line) return fold(grid, line);
  if (window.getSelection()?.toString()) return;
  const link = node.querySelector("a");
  if (link) followLink(event, link.getAttribute("href") || "");
}

/** @param {Grid} grid @param {number} place @param {boolean} isRange */
function goTo(grid, place, isRange) {
  const before = grid.lines[grid.active];
  grid.active = Math.min(Math.max(place, 0), grid.lines.length - 1);
  const line = grid.lines[grid.active];
  if (isRange && line && before) {
    if (!grid.anchor && "row" in before) toggle(grid, before, false);
    if ("row" in line) toggle(grid, line, true);
  }
  const height = lineHeight(grid);
  const { scroller, head } = grid;
  const top = grid.active * height;
  const room = scroller.clientHeight - head.offsetHeight;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + height > scroller.scrollTop + room) scroller.scrollTop = top + height - room;
  drawLines(grid);
  drawBar(grid);
}

/** @param {Grid} grid @param {KeyboardEvent} event */
function pressed(grid, event) {
  if (event.target !== grid.table) return;
  const line = grid.lines[grid.active];
  const page = Math.max(1, Math.floor(grid.scroller.clientHeight / lineHeight(grid)) - 2);
  /** @type {Record<string, () => void>} */
  const moves = {
    ArrowDown: () => goTo(grid, grid.active + 1, event.shiftKey),
    ArrowUp: () => goTo(grid, grid.active - 1, event.shiftKey),
    PageDown: () => goTo(grid, grid.active + page, event.shiftKey),
    PageUp: () => goTo(grid, grid.active - page, event.shiftKey),
    Home: () => goTo(grid, 0, event.shiftKey),
    End: () => goTo(grid, grid.lines.length - 1, event.shiftKey),
    Enter: () => line && openLine(grid, line),
    " ": () => {
      if (!line) return;
      toggle(grid, line, event.shiftKey);
      afterPick(grid);
    },
    Escape: () => {
      grid.memory.picked.clear();
      afterPick(grid);
    },
  };
  if (line && "group" in line) {
    const isClosed = grid.memory.closed.has(line.group.key);
    if (event.key === "ArrowLeft" && !isClosed) moves.ArrowLeft = () => fold(grid, line);
    if (event.key === "ArrowRight" && isClosed) moves.ArrowRight = () => fold(grid, line);
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "a") {
    moves.a = () => {
      for (const id of grid.rows.ids) grid.memory.picked.add(id);
      afterPick(grid);
    };
  } else if (event.ctrlKey || event.metaKey || event.altKey) return;
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  event.stopPropagation();
  move();
}

/** @param {Component<GridData>} component @returns {Grid} */
function make(component) {
  const { data } = component;
  const node = element("div", "run-grid");
  const bar = element("div", "grid-bar");
  bar.setAttribute("aria-live", "polite");
  const scroller = element("div", "grid-scroller");
  const table = element("table");
  table.tabIndex = 0;
  table.setAttribute("role", "grid");
  table.setAttribute("aria-multiselectable", "true");
  table.setAttribute("aria-label", "Runs");
  const head = element("thead");
  const body = element("tbody");
  table.append(head, body);
  scroller.append(table);
  node.append(bar, scroller);
  /** @type {Grid} */
  const grid = {
    component,
    node,
    bar,
    scroller,
    table,
    head,
    body,
    data,
    rows: { ids: [], titles: [], subs: [], flags: [], cells: {}, groups: [] },
    placeOf: new Map(),
    lines: [],
    drawnLines: new Map(),
    columns: [],
    widths: new Map(),
    measured: null,
    measuredNarrow: false,
    sort: data.sort,
    memory: memoryOf(data.name),
    anchor: null,
    active: 0,
    held: false,
    waiting: false,
    isNarrow: false,
    asks: "",
    sent: 0,
    barStamp: "",
    groupsStamp: "",
    columnsStamp: "",
  };
  listen(grid);
  return grid;
}

/** @param {Grid} grid */
function listen(grid) {
  const { node, scroller, body, head } = grid;
  const release = () => {
    grid.held = false;
    if (!grid.waiting) return;
    grid.waiting = false;
    setTimeout(() => redraw(grid)); // after the click that this ends
  };
  node.onpointerdown = () => {
    grid.held = true;
    window.addEventListener("pointerup", () => setTimeout(release), { once: true });
    window.addEventListener("pointercancel", release, { once: true });
  };
  body.onmousedown = (event) => {
    if (event.shiftKey) event.preventDefault(); // selects runs, not text
  };
  body.onclick = (event) => clicked(grid, event);
  head.onchange = (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (!box.dataset.all) return;
    grid.memory.picked = grid.memory.picked.size ? new Set() : new Set(grid.rows.ids);
    afterPick(grid);
  };
  scroller.onkeydown = (event) => pressed(grid, event);
  let isAsked = false;
  scroller.onscroll = () => {
    grid.memory.top = scroller.scrollTop;
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      drawLines(grid);
    });
  };
  node.addEventListener("picked", () => afterPick(grid));
  grid.watcher = new ResizeObserver(() => {
    const width = node.clientWidth;
    if (!width || node.dataset.width === String(width)) return;
    node.dataset.width = String(width);
    redraw(grid);
  });
  grid.watcher.observe(node);
  grid.timer = window.setInterval(() => drawLines(grid), AGES_MS);
}

/** @param {Grid} grid @param {GridData} data */
function update(grid, data) {
  const { name, rows, groups, columns } = data;
  const groupsStamp = JSON.stringify([groups, data.baseline, data.colors]);
  const columnsStamp = JSON.stringify(columns);
  const isSame = rows === grid.data.rows && grid.rows.ids.length && columnsStamp === grid.columnsStamp;
  grid.data = data;
  if (!isSame || groupsStamp !== grid.groupsStamp) {
    grid.groupsStamp = groupsStamp;
    grid.columnsStamp = columnsStamp;
    const at = grid.lines[grid.active];
    const activeId = at && "row" in at ? grid.rows.ids[at.row] : null;
    grid.rows = JSON.parse(rows);
    grid.placeOf = new Map(grid.rows.ids.map((id, row) => [id, row]));
    tidy(grid);
    redraw(grid);
    if (activeId !== null) {
      const place = grid.lines.findIndex((line) => "row" in line && grid.rows.ids[line.row] === activeId);
      if (place >= 0) grid.active = place;
      markLines(grid);
    }
  }
  grid.node.dataset.name = name;
  drawBar(grid);
}

/** @param {Component<GridData>} component */
export default function runTable(component) {
  const { parentElement, data } = component;
  const isNew = !grids.has(parentElement);
  const grid = stateIn(grids, parentElement, () => make(component));
  grid.component = component;
  update(grid, data);
  if (isNew && grid.memory.top) {
    grid.scroller.scrollTop = grid.memory.top;
    drawLines(grid);
  }
  return () => {
    window.clearInterval(grid.timer);
    grid.watcher?.disconnect();
    discardState(grids, parentElement);
  };
}
