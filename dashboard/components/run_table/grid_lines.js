// Which lines a table has, in which order: rows, and above them the heads of their groups.

import { NOTHING, textOf } from "./grid_words.js";

/** @import { GridColumn, Line, RowGroup, Rows } from "./types.js" */

/** @param {string} a @param {string} b */
const words = (a, b) => a.localeCompare(b, undefined, { numeric: true });

/**
 * The rows in the order of a column; those without a value come last in both directions, equal ones newest first.
 * @param {Rows} rows @param {GridColumn | undefined} column undefined: newest first @param {boolean} down
 */
export function orderOf(rows, column, down) {
  const order = Array.from(rows.ids, (_, row) => row);
  if (!column) return order;
  const sign = down ? -1 : 1;
  if (column.kind === "name") {
    order.sort((a, b) => sign * words(rows.titles[a], rows.titles[b]) || a - b);
    return order;
  }
  const cells = rows.cells[column.name];
  if (!cells) return order;
  const { values, words: texts } = cells;
  /** @type {Map<number, number>} */
  const ranks = new Map();
  if (texts) {
    const sorted = texts.map((_, place) => place).sort((a, b) => words(texts[a], texts[b]));
    sorted.forEach((place, rank) => {
      ranks.set(place, rank);
    });
  }
  const key = (/** @type {number} */ row) => {
    const value = values[row];
    if (value === null || value === undefined || (texts && !texts[value])) return null;
    return texts ? (ranks.get(value) ?? null) : value;
  };
  const keys = order.map(key);
  order.sort((a, b) => {
    const left = keys[a];
    const right = keys[b];
    if (left === null || right === null) return Number(left === null) - Number(right === null) || a - b;
    return sign * (left - right) || a - b;
  });
  return order;
}

/**
 * @param {Rows} rows @param {RowGroup[] | null} groups @param {Set<string>} closed keys of groups whose rows are hidden
 * @param {GridColumn | undefined} column @param {boolean} down
 * @returns {Line[]}
 */
export function linesOf(rows, groups, closed, column, down) {
  const order = orderOf(rows, column, down);
  if (!groups) return order.map((row) => ({ row }));
  /** @type {number[][]} */
  const members = groups.map(() => []);
  for (const row of order) members[rows.groups[row]]?.push(row);
  const places = groups.map((_, place) => place).filter((place) => members[place].length);
  if (column) {
    const mean = (/** @type {number} */ place) => groups[place].spreads[column.name]?.mean ?? null;
    if (places.some((place) => mean(place) !== null)) {
      const sign = down ? -1 : 1;
      places.sort((a, b) => {
        const left = mean(a);
        const right = mean(b);
        if (left === null || right === null) return Number(left === null) - Number(right === null) || a - b;
        return sign * (left - right) || a - b;
      });
    } else {
      // as their first rows follow each other
      const ranks = new Map(order.map((row, rank) => [row, rank]));
      places.sort((a, b) => (ranks.get(members[a][0]) ?? 0) - (ranks.get(members[b][0]) ?? 0));
    }
  }
  return places.flatMap((place) => {
    const group = groups[place];
    return [{ group, place }, ...(closed.has(group.key) ? [] : members[place].map((row) => ({ row })))];
  });
}

/** Which lines are drawn: those in sight and some around. @param {number} top @param {number} height @param {number} line @param {number} count */
export function windowOf(top, height, line, count) {
  const around = 12;
  const first = Math.max(0, Math.min(count, Math.floor(top / line)) - around);
  return [first, Math.min(count, Math.ceil((top + height) / line) + around)];
}

const MAX_SEEN = 300;
const PADDING = 17;
const MAX_WIDTH = 230;

/**
 * Pixels that a column needs, from the longest of its texts; of many rows some are looked at.
 * @param {GridColumn} column @param {Rows} rows @param {RowGroup[] | null} groups
 * @param {(text: string, size?: number) => number} measure pixels of a text, of so many times the usual size
 */
export function widthOf(column, rows, groups, measure) {
  const cells = rows.cells[column.name];
  const head = measure(column.label, 0.95) + 12;
  let widest = 0;
  const step = Math.max(1, Math.floor(rows.ids.length / MAX_SEEN));
  for (let row = 0; row < rows.ids.length; row += step) {
    const text = textOf(column, rows, row);
    if (text !== NOTHING) widest = Math.max(widest, measure(text));
  }
  if (column.kind === "share") {
    widest *= 1.06; // in bold
    if (cells?.noteWords) widest += 8 + Math.max(0, ...cells.noteWords.map((word) => measure(word, 0.9)));
    if (column.best && Object.keys(column.best).length) widest += 16;
    if (column.baseline) widest += 42;
  }
  if (column.kind === "state") widest += 16;
  for (const group of groups || []) {
    for (const text of group.spreads[column.name]?.texts || []) widest = Math.max(widest, measure(text, 0.9));
  }
  return Math.ceil(Math.min(Math.max(head, widest), MAX_WIDTH) + PADDING);
}

/**
 * The columns that have room beside the name on a narrow screen, the most important first; on a wide one all.
 * @param {GridColumn[]} columns all but the name @param {Map<string, number>} widths @param {number} room in pixels
 */
export function fitting(columns, widths, room) {
  const byRank = columns.map((column, place) => ({ column, place }));
  byRank.sort((a, b) => a.column.rank - b.column.rank || a.place - b.place);
  const kept = new Set();
  let left = room;
  for (const { column } of byRank) {
    const width = widths.get(column.name) ?? 80;
    if (width > left) continue;
    left -= width;
    kept.add(column.name);
  }
  return columns.filter((column) => kept.has(column.name));
}
