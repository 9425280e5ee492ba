// Draws the lines of a table that are in sight. A row that is drawn already stays the same element.

import { element } from "../common/elements.js";
import { fitting, linesOf, widthOf, windowOf } from "./grid_lines.js";
import { differenceOf, NOTHING, noteOf, pointsText, textOf } from "./grid_words.js";

/** @import { Grid, GridColumn, Line } from "./types.js" */

const NARROW = 640;
const BOX = 38;
const NAME = 200;
const NARROW_NAME = 132;

/** @param {Grid} grid */
export const lineHeight = (grid) => (grid.isNarrow ? 48 : 36);

/** @param {Grid} grid @returns {GridColumn | undefined} the column that is sorted by */
export function sortColumn(grid) {
  const name = grid.sort.replace(/^-/, "");
  return grid.data.columns.find((column) => column.name === name);
}

/** Puts the lines into their order, and finds which columns have room. @param {Grid} grid */
export function arrange(grid) {
  const { data, rows } = grid;
  grid.lines = linesOf(rows, data.groups, grid.memory.closed, sortColumn(grid), grid.sort.startsWith("-"));
  grid.active = Math.min(Math.max(grid.active, 0), Math.max(0, grid.lines.length - 1));
  const width = grid.node.clientWidth || 1000;
  grid.isNarrow = width < NARROW;
  grid.node.classList.toggle("narrow", grid.isNarrow);
  const others = data.columns.slice(1);
  if (grid.measured !== rows || grid.measuredNarrow !== grid.isNarrow) {
    grid.measured = rows;
    grid.measuredNarrow = grid.isNarrow;
    grid.widths = new Map(others.map((column) => [column.name, widthIn(grid, column)]));
  }
  // those that were chosen are all there, and scroll where they have no room
  const isFitted = grid.isNarrow || data.isUsual;
  const room = width - BOX - (grid.isNarrow ? NARROW_NAME : NAME);
  grid.columns = [data.columns[0], ...(isFitted ? fitting(others, grid.widths, room) : others)];
}

const pen = document.createElement("canvas").getContext("2d");

/** @param {Grid} grid @param {GridColumn} column */
function widthIn(grid, column) {
  if (grid.isNarrow && column.kind === "state") return 26;
  const least = grid.isNarrow && column.kind === "share" && grid.data.groups ? 128 : 0; // for mean and deviation
  if (pen) pen.font = getComputedStyle(grid.node).font;
  // figures of equal width take somewhat more
  const measure = (/** @type {string} */ text, size = 1) =>
    1.1 * size * (pen ? pen.measureText(text).width : 7 * text.length);
  return Math.max(least, widthOf(column, grid.rows, grid.isNarrow ? null : grid.data.groups, measure));
}

/** @param {Grid} grid @param {(column: GridColumn) => void} onSort */
export function drawHead(grid, onSort) {
  const line = element("tr");
  line.setAttribute("aria-rowindex", "1");
  const box = element("th", "box");
  box.scope = "col";
  const all = element("input");
  all.type = "checkbox";
  all.dataset.all = "yes";
  all.setAttribute("aria-label", "Select all runs that pass the filter");
  box.append(all);
  line.append(box);
  for (const column of grid.columns) {
    const cell = element("th", `${isRight(column) ? "right" : ""} ${column.kind}`);
    cell.scope = "col";
    const isSorted = column === sortColumn(grid);
    const isDown = grid.sort.startsWith("-");
    cell.setAttribute("aria-sort", isSorted ? (isDown ? "descending" : "ascending") : "none");
    const sort = element("button", "", grid.isNarrow && column.kind === "state" ? "" : column.label);
    sort.type = "button";
    sort.title = column.help ? `${column.label}: ${column.help}` : column.label;
    sort.setAttribute("aria-label", `Sort by ${column.label}`);
    sort.append(element("span", "mark", isSorted ? (isDown ? "↓" : "↑") : ""));
    sort.onclick = () => onSort(column);
    cell.append(sort);
    line.append(cell);
  }
  grid.head.replaceChildren(line);
  const widths = grid.columns.slice(1).map((column) => grid.widths.get(column.name) ?? 80);
  const needed = BOX + widths.reduce((sum, width) => sum + width, 0);
  const group = element("colgroup");
  const columns = [BOX, null, ...widths].map((width) => {
    const column = element("col");
    if (width !== null) column.style.width = `${width}px`;
    return column;
  });
  group.append(...columns);
  grid.table.querySelector("colgroup")?.remove();
  grid.table.prepend(group);
  grid.table.style.minWidth = grid.isNarrow ? "0" : `${needed + NAME}px`;
  grid.table.setAttribute("aria-colcount", String(grid.columns.length + 1));
}

/** @param {GridColumn} column */
function isRight(column) {
  return ["share", "number", "seconds", "moment", "epochs", "loss"].includes(column.kind);
}

/**
 * Draws without taking the focus from what is drawn anew. @param {Grid} grid @param {() => void} draw
 */
export function keepingFocus(grid, draw) {
  const { activeElement } = document;
  const label = grid.node.contains(activeElement) && activeElement?.getAttribute("aria-label");
  draw();
  if (!label || activeElement?.isConnected) return;
  const anew = [...grid.node.querySelectorAll("[aria-label]")].find(
    (node) => node.getAttribute("aria-label") === label,
  );
  if (anew instanceof HTMLElement) anew.focus({ preventScroll: true });
}

/** Draws what is in sight. @param {Grid} grid */
export function drawLines(grid) {
  if (grid.held) {
    grid.waiting = true;
    return;
  }
  keepingFocus(grid, () => drawInSight(grid));
}

/** @param {Grid} grid */
function drawInSight(grid) {
  const { lines, scroller, body } = grid;
  const height = lineHeight(grid);
  const [first, end] = windowOf(scroller.scrollTop, scroller.clientHeight || 600, height, lines.length);
  /** @type {Map<string, HTMLTableRowElement>} */
  const before = new Map();
  for (const node of grid.drawnLines.keys())
    before.set(node.dataset.key || "", /** @type {HTMLTableRowElement} */ (node));
  grid.drawnLines = new Map();
  grid.spacers ??= [spacer(), spacer()];
  const [above, below] = grid.spacers;
  above.style.height = `${first * height}px`;
  below.style.height = `${(lines.length - end) * height}px`;
  const shown = [above];
  for (let place = first; place < end; place++) {
    const line = lines[place];
    const key = keyOf(grid, line);
    const node = before.get(key) || element("tr");
    node.dataset.key = key;
    node.dataset.place = String(place);
    node.id = `${grid.data.name}-line-${place}`;
    node.setAttribute("aria-rowindex", String(place + 2));
    fillLine(grid, node, line);
    grid.drawnLines.set(node, line);
    shown.push(node);
  }
  shown.push(below);
  // what is in its place already is not touched: an element that is taken out for a moment loses the focus and the click
  if (shown.length !== body.children.length || shown.some((node, place) => node !== body.children[place])) {
    body.replaceChildren(...shown);
  }
  grid.table.setAttribute("aria-rowcount", String(lines.length + 1));
  markLines(grid);
}

function spacer() {
  const node = element("tr", "spacer");
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** @param {Grid} grid @param {Line} line */
function keyOf(grid, line) {
  return "row" in line ? grid.rows.ids[line.row] : `group ${line.group.key}`;
}

/** Shows what is selected, and where the keyboard is. @param {Grid} grid */
export function markLines(grid) {
  const { picked } = grid.memory;
  for (const [node, line] of grid.drawnLines) {
    const box = node.querySelector("input");
    let isPicked = false;
    if ("row" in line) isPicked = picked.has(grid.rows.ids[line.row]);
    else {
      const ids = grid.rows.ids.filter((_, row) => grid.rows.groups[row] === line.place);
      const count = ids.filter((id) => picked.has(id)).length;
      isPicked = count === ids.length && count > 0;
      if (box) box.indeterminate = count > 0 && !isPicked;
    }
    if (box) box.checked = isPicked;
    node.setAttribute("aria-selected", String(isPicked));
    node.classList.toggle("active", Number(node.dataset.place) === grid.active);
  }
  const all = grid.head.querySelector("input");
  if (all) {
    all.checked = picked.size > 0 && picked.size === grid.rows.ids.length;
    all.indeterminate = picked.size > 0 && !all.checked;
  }
  const at = `${grid.data.name}-line-${grid.active}`;
  if (grid.lines.length) grid.table.setAttribute("aria-activedescendant", at);
  else grid.table.removeAttribute("aria-activedescendant");
}

/** Fills a line; nothing is touched where it says the same. @param {Grid} grid @param {HTMLElement} node @param {Line} line */
function fillLine(grid, node, line) {
  const cells = "row" in line ? rowCells(grid, line.row) : groupCells(grid, line);
  const isGroup = !("row" in line);
  const isBaseline = "row" in line && grid.rows.ids[line.row] === grid.data.baseline?.id;
  const stamp = JSON.stringify([cells, grid.columns.map((column) => column.name), grid.isNarrow, isBaseline]);
  if (node.dataset.stamp === stamp) return;
  node.dataset.stamp = stamp;
  node.className = `${isGroup ? "group" : "run"} ${isBaseline ? "is-baseline" : ""}`;
  const box = element("td", "box");
  const check = element("input");
  check.type = "checkbox";
  check.tabIndex = -1;
  check.setAttribute("aria-label", `Select ${cells[0].text}`);
  box.append(check);
  node.replaceChildren(box, ...cells.map((cell, place) => cellOf(grid, cell, grid.columns[place], isGroup)));
  if ("group" in line) node.setAttribute("aria-expanded", String(!grid.memory.closed.has(line.group.key)));
}

/**
 * @typedef {{ text: string, sub?: string, title?: string, href?: string, color?: string, note?: string,
 *   difference?: string, best?: string, lines?: string[], mark?: string }} Shown
 */

/** @param {Grid} grid @param {number} row @returns {Shown[]} */
function rowCells(grid, row) {
  const { rows, data } = grid;
  return grid.columns.map((column, place) => {
    if (!place) {
      const isBaseline = rows.ids[row] === data.baseline?.id;
      const sub = isBaseline ? "baseline" : rows.subs[row];
      const href = data.pages.run && `${data.pages.run}?id=${encodeURIComponent(rows.ids[row])}`;
      // a narrow screen has no room in the column of the state
      const state = grid.isNarrow ? grid.columns.find((other) => other.kind === "state") : undefined;
      const note = state && noteOf(state, rows, row);
      return { text: rows.titles[row], sub, note, href, title: `${rows.titles[row]}\n${rows.ids[row]}` };
    }
    const text = textOf(column, rows, row);
    const note = noteOf(column, rows, row);
    if (column.kind === "state") {
      return { text, note, color: data.colors[text] || "gray", title: note ? `${text}: ${note}` : text };
    }
    if (column.kind !== "share") return { text, title: titleOf(column, rows.cells[column.name]?.values[row], text) };
    const difference = rows.ids[row] === data.baseline?.id ? null : differenceOf(column, rows, row);
    return {
      text,
      note,
      best: column.best?.[rows.ids[row]] || "",
      difference: difference === null ? "" : pointsText(difference),
    };
  });
}

/** @param {GridColumn} column @param {number | null | undefined} value @param {string} text */
function titleOf(column, value, text) {
  if (column.kind === "moment" && typeof value === "number") return new Date(value * 1000).toLocaleString();
  return text === NOTHING || ["number", "seconds", "epochs", "loss"].includes(column.kind) ? "" : text;
}

/** @param {Grid} grid @param {Extract<Line, { group: any }>} line @returns {Shown[]} */
function groupCells(grid, { group }) {
  return grid.columns.map((column, place) => {
    if (!place) {
      const count = group.count.toLocaleString("en");
      const title = `${group.label}\n${count} run${group.count === 1 ? "" : "s"}`;
      return { text: group.label, sub: count, mark: grid.memory.closed.has(group.key) ? "▸" : "▾", title };
    }
    const found = group.spreads[column.name];
    return { text: "", lines: found?.texts || [], title: found ? found.texts.join("\n") : "" };
  });
}

/** @param {Grid} grid @param {Shown} shown @param {GridColumn} column @param {boolean} isGroup */
function cellOf(grid, shown, column, isGroup) {
  const cell = element("td", `${isRight(column) ? "right" : ""} ${column.kind}`);
  if (shown.title) cell.title = shown.title;
  if (column === grid.columns[0]) {
    if (shown.mark) cell.append(element("span", "caret", shown.mark));
    const name = element(shown.href ? "a" : "span", "title", shown.text);
    if (name instanceof HTMLAnchorElement && shown.href) {
      name.href = shown.href;
      name.tabIndex = -1;
    }
    cell.append(name);
    if (shown.sub) cell.append(element("span", "sub", shown.sub));
    if (shown.note) {
      cell.classList.add("noted");
      cell.append(element("span", "why", shown.note));
    }
    return cell;
  }
  if (isGroup) {
    for (const text of shown.lines || []) cell.append(element("span", "spread", text));
    return cell;
  }
  if (column.kind === "state") {
    const badge = element("span", "badge");
    badge.append(element("span", `dot ${shown.color}`), element("span", "word", shown.text));
    cell.append(badge);
    if (shown.note) cell.append(element("span", "sub", shown.note));
    return cell;
  }
  if (shown.best) {
    const star = element("span", "best", "★");
    star.title = shown.best;
    star.setAttribute("aria-label", shown.best);
    star.setAttribute("role", "img");
    cell.append(star);
  }
  if (shown.note) cell.append(element("span", "sub before", shown.note));
  const text = element("span", shown.text === NOTHING ? "none" : column.kind === "share" ? "strong" : "", shown.text);
  cell.append(text);
  if (shown.difference) {
    const sign = shown.difference.startsWith("+") ? "plus" : shown.difference.startsWith("−") ? "minus" : "";
    cell.append(element("span", `difference ${sign}`, shown.difference));
  }
  return cell;
}
