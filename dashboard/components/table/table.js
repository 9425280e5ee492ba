// A table of links. Every text is set with textContent: names of runs and data sets are never read as markup.

import { button, element } from "../common/elements.js";
import { helpMark } from "../common/help.js";
import { followLink } from "../common/leaving.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Cell, Table, TableData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Table>} */
const tables = new WeakMap();

/** @param {Cell} a @param {Cell} b */
function compare(a, b) {
  const left = a.sort ?? a.text;
  const right = b.sort ?? b.text;
  const missing = (/** @type {unknown} */ value) => value === null || value === undefined || value === "–";
  if (missing(left) || missing(right)) return Number(missing(left)) - Number(missing(right));
  if (typeof left === "number" && typeof right === "number") return left - right;
  return String(left).localeCompare(String(right), undefined, { numeric: true });
}

/** Numbers with a true minus, as charts have it. @param {string} text */
export function trueMinus(text) {
  return text.replace(/(^|[\s(])-(?=\d)/g, "$1−");
}

/**
 * @param {HTMLElement} cell @param {Cell} value @param {string | null | undefined} href
 * @param {boolean} isNumber
 */
function fill(cell, value, href, isNumber) {
  const shown = isNumber ? trueMinus : (/** @type {string} */ text) => text;
  let holder = cell;
  if (value.state || value.color) {
    holder = element("span", "badge");
    const dot = element("span", value.state ? `dot ${value.state}` : "swatch");
    if (value.color) dot.style.background = value.color;
    holder.append(dot);
    cell.append(holder);
  }
  const text = element(href ? "a" : "span", value.strong ? "strong" : "", shown(value.text));
  if (value.title) text.title = value.title;
  if (href && text instanceof HTMLAnchorElement) {
    text.href = href;
    text.title = value.title || value.text;
  }
  holder.append(text);
  if (value.sub) cell.append(element("span", "sub", shown(value.sub)));
}

/** @param {Table} table */
function draw(table) {
  const { columns, rows } = table.data;
  const [key, down] = table.sort;
  const ordered = [...rows];
  if (key) {
    ordered.sort((a, b) => {
      const order = compare(a[key] || {}, b[key] || {});
      const missing = (a[key]?.text === "–") !== (b[key]?.text === "–");
      return down && !missing ? -order : order;
    });
  }
  const head = element("tr");
  for (const column of columns) {
    const cell = element("th", `rank-${column.rank || 1} ${column.align || ""}`);
    cell.scope = "col";
    if (column.sortable === false) {
      cell.append(element("span", "", column.label));
    } else {
      const sort = button(column.label, undefined, () => {
        table.sort = [column.key, column.key === key ? !down : column.align === "right"];
        draw(table);
      });
      sort.append(element("span", "mark", column.key === key ? (down ? "↓" : "↑") : ""));
      cell.append(sort);
    }
    cell.setAttribute("aria-sort", column.key === key ? (down ? "descending" : "ascending") : "none");
    if (column.help) cell.append(...helpMark(column.label, column.help));
    head.append(cell);
  }
  const body = element("tbody");
  for (const row of ordered) {
    const line = element("tr", `${row.href ? "linked" : ""} ${row.tight ? "tight" : ""} ${row.best ? "best" : ""}`);
    columns.forEach((column, index) => {
      const cell = element(
        "td",
        `rank-${column.rank || 1} ${column.align || ""} ${column.wrap ? "wrap" : ""} ${index ? "" : "first"}`,
      );
      fill(cell, row[column.key] || { text: "–" }, index ? null : row.href, column.align === "right");
      line.append(cell);
    });
    const { href } = row;
    if (href) {
      line.onclick = (event) => {
        if (!window.getSelection()?.toString()) followLink(event, href);
      };
    }
    body.append(line);
  }
  const thead = element("thead");
  thead.append(head);
  const node = element("table");
  node.append(thead, body);
  const hasFocus = rows.some((row) => row.href) || columns.some((column) => column.sortable !== false);
  if (hasFocus) table.node.removeAttribute("tabindex");
  else table.node.tabIndex = 0; // on a narrow screen it is scrolled sideways, by keys too
  table.node.replaceChildren(node);
}

/** @param {Component<TableData>} component */
export default function linkTable(component) {
  const { parentElement, data } = component;
  const table = stateIn(tables, parentElement, () => ({
    node: element("div", "link-table"),
    drawn: "",
    sort: /** @type {[string, boolean]} */ ([data.sort.replace(/^-/, ""), data.sort.startsWith("-")]),
    data,
  }));
  const stamp = JSON.stringify(data);
  if (stamp !== table.drawn) {
    table.drawn = stamp;
    table.data = data;
    draw(table);
  }
  return () => discardState(tables, parentElement);
}
