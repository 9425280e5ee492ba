// How the values of a run are written.

/** @import { GridColumn, Rows } from "./types.js" */

export const NOTHING = "–";

/** `42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. @param {number} seconds */
export function durationText(seconds) {
  const whole = Math.round(seconds);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** `just now`, `5 min ago`, `3 h ago`, `2 d ago`. @param {number} moment @param {number} now both in seconds */
export function agoText(moment, now) {
  const seconds = Math.max(0, now - moment);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Up to four digits that count, and whole numbers as they are. @param {number} value */
export function numberText(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5
    ? String(Number(value.toPrecision(4)))
    : value.toExponential(2);
}

/** A difference of two shares in points: `+2.1`, `−0.4`. @param {number} difference */
export function pointsText(difference) {
  const points = (100 * difference).toFixed(1);
  if (Number(points) === 0) return "0.0";
  return difference > 0 ? `+${points}` : points.replace("-", "−");
}

/** @param {GridColumn} column @param {Rows} rows @param {number} row @returns {string} */
export function textOf(column, rows, row) {
  const cells = rows.cells[column.name];
  const value = cells?.values[row];
  if (value === null || value === undefined) return NOTHING;
  if (cells.words) return cells.words[value] || NOTHING;
  if (column.kind === "share") return `${(100 * value).toFixed(1)} %`;
  if (column.kind === "seconds") return durationText(value);
  if (column.kind === "moment") return agoText(value, Date.now() / 1000);
  if (column.kind === "loss") return value.toFixed(3);
  if (column.kind === "epochs")
    return cells.notes?.[row] ? `${value} / ${cells.notes[row]}` : value ? `${value}` : NOTHING;
  return numberText(value);
}

/** What stands small beside a value. @param {GridColumn} column @param {Rows} rows @param {number} row */
export function noteOf(column, rows, row) {
  const { notes, noteWords } = rows.cells[column.name] || {};
  return notes && noteWords ? noteWords[notes[row]] || "" : "";
}

/**
 * How far a value lies above that of the baseline, where both were measured alike; else nothing.
 * @param {GridColumn} column @param {Rows} rows @param {number} row
 */
export function differenceOf(column, rows, row) {
  const cells = rows.cells[column.name];
  const value = cells?.values[row];
  if (!column.baseline || value === null || value === undefined) return null;
  const [own, measure] = column.baseline;
  return (cells.notes?.[row] ?? -1) === measure ? value - own : null;
}
