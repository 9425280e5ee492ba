// Settings on two axes. Every text is set with textContent: labels of a sweep file are never read as markup.

import { element } from "../common/elements.js";
import { followLink } from "../common/leaving.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Grid, GridCell, GridData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Grid>} */
const grids = new WeakMap();
const FULL_SHADE = 62; // per cent of the colour in the highest cell: text stays readable on it, light and dark

/** @param {string} scope @param {string} label @param {GridData["pictures"]} pictures */
function headOf(scope, label, pictures) {
  const cell = element("th");
  cell.scope = scope;
  if (Object.hasOwn(pictures, label)) {
    const picture = element("img");
    picture.alt = "";
    picture.src = pictures[label];
    cell.append(picture);
  }
  cell.append(element("span", "", label));
  return cell;
}

/** @param {GridCell | null} found */
function cellOf(found) {
  if (!found) return element("td");
  const cell = element("td", `cell ${found.best ? "best" : ""}`);
  cell.style.setProperty("--tint", `${(Math.min(1, Math.max(0, found.value ?? 0)) * FULL_SHADE).toFixed(1)}%`);
  cell.title = found.title || "";
  const { href } = found;
  const inner = element(href ? "a" : "div");
  if (href && inner instanceof HTMLAnchorElement) {
    inner.href = href;
    inner.onclick = (event) => followLink(event, href);
  }
  inner.append(element("span", "text", found.text));
  if (found.sub) inner.append(element("span", "sub", found.sub));
  cell.append(inner);
  return cell;
}

/** @param {GridData} data */
function gridOf({ rows, columns, cells, pictures }) {
  const table = element("table");
  const head = element("tr");
  head.append(element("td"), ...columns.map((column) => headOf("col", column, pictures)));
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  rows.forEach((row, place) => {
    const line = element("tr");
    line.append(headOf("row", row, pictures), ...cells[place].map(cellOf));
    body.append(line);
  });
  table.append(thead, body);
  return table;
}

/** @param {Component<GridData>} component */
export default function settingGrid({ parentElement, data }) {
  const grid = stateIn(grids, parentElement, () => ({ node: element("div", "setting-grid"), drawn: "" }));
  const stamp = JSON.stringify(data);
  if (stamp !== grid.drawn) {
    grid.drawn = stamp;
    grid.node.replaceChildren(gridOf(data));
  }
  return () => discardState(grids, parentElement);
}
