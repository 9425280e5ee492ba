// What was taken for what, as a table. Every text is set with textContent: names of classes are never read as markup.

import { element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Confusion, ConfusionData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Confusion>} */
const matrices = new WeakMap();
const FULL_TINT = 62; // per cent of the colour in a cell of 100 %: text stays readable on it, light and dark

/**
 * A share as it stands in a cell: whole per cent, nothing where there is none.
 * @param {number} share @param {number} count
 */
export function cellText(share, count) {
  if (!count) return "";
  return share < 0.5 ? "<1" : String(Math.round(share));
}

/** @param {string} scope @param {string} name */
function nameCell(scope, name) {
  const cell = element("th");
  cell.scope = scope;
  cell.title = name;
  cell.append(element("span", "", name));
  return cell;
}

/** @param {ConfusionData} data */
function tableOf({ rows, columns, shares, counts }) {
  const table = element("table");
  table.append(element("caption", "", "Rows: true classes. Columns: answers. Cells: per cent of the row."));
  const head = element("tr");
  head.append(element("td"), ...columns.map((name) => nameCell("col", name)));
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  rows.forEach((name, row) => {
    const line = element("tr");
    line.append(nameCell("row", name));
    const total = counts[row].reduce((sum, count) => sum + count, 0);
    columns.forEach((answer, column) => {
      const share = shares[row][column];
      const right = row === column;
      const cell = element("td", right ? "right" : "wrong", cellText(share, counts[row][column]));
      cell.style.setProperty("--tint", `${((share / 100) * FULL_TINT).toFixed(1)}%`);
      const verb = right ? "recognized" : `taken for ${answer}`;
      cell.title = `${name} ${verb}: ${share.toFixed(1)} %, ${counts[row][column]} of ${total} images`;
      line.append(cell);
    });
    body.append(line);
  });
  table.append(thead, body);
  return table;
}

/** @param {Component<ConfusionData>} component */
export default function confusionMatrix({ parentElement, data }) {
  const matrix = stateIn(matrices, parentElement, () => ({ node: element("div", "confusion"), drawn: "" }));
  const stamp = JSON.stringify(data);
  if (stamp !== matrix.drawn) {
    matrix.drawn = stamp;
    matrix.node.replaceChildren(tableOf(data));
  }
  return () => discardState(matrices, parentElement);
}
