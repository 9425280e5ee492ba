// Lines as they were sent, and what plotly draws of them.

import { fromBase64 } from "../common/bytes.js";
import { withAlpha } from "../common/theme.js";

/** @import { Card, Field, Grid, Line, Look, Marks, Numbers, Run, SentLine } from "./types.js" */

/** @type {Field[]} */
const FIELDS = ["x", "y", "raw_x", "raw_y", "low", "high"];

/**
 * Takes in lines as they were sent; returns the charts for which something changed.
 * @param {Grid} grid @param {SentLine[]} sent
 */
export function takeIn(grid, sent) {
  /** @type {Set<string>} the charts' ids */
  const changed = new Set();
  for (const line of sent) {
    const name = JSON.stringify([line.chart, line.run, line.column]);
    const known = grid.lines.get(name);
    if (known && FIELDS.every((field) => known.sent[field] === line[field])) continue;
    const fresh = /** @type {Line} */ (/** @type {unknown} */ ({ ...line, sent: line }));
    for (const field of FIELDS) {
      const text = line[field];
      if (text) fresh[field] = new Float32Array(fromBase64(text).buffer);
    }
    grid.lines.set(name, fresh);
    changed.add(line.chart);
  }
  return changed;
}

/** @param {Grid} grid @param {string} id */
export function linesOf(grid, id) {
  return [...grid.lines.values()].filter((line) => line.chart === id && grid.runs.has(line.run));
}

/** @param {Grid} grid @param {Line} line */
export function lookOf(grid, line) {
  const run = /** @type {Run} */ (grid.runs.get(line.run));
  return { color: run.color, dash: line.second ? "dot" : run.dash, faint: line.faint };
}

/** @param {Numbers[]} parts */
function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length + 1, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
    whole[place++] = NaN; // the gap before the next line
  }
  return whole;
}

/**
 * Lines of one look, with gaps between them; `x` and `y` are the fields that hold their numbers.
 * @param {Look} look @param {Line[]} lines @param {Field} x @param {Field} y @param {number} width @param {number} opacity
 */
function trace(look, lines, x, y, width, opacity) {
  const single = lines.every((line) => line[x].length === 1);
  return {
    type: "scatter",
    mode: single ? "markers" : "lines",
    x: joined(lines.map((line) => line[x])),
    y: joined(lines.map((line) => line[y])),
    hoverinfo: "skip",
    opacity,
    connectgaps: false,
    showlegend: false,
    line: { color: look.color, dash: look.dash, width, simplify: true },
    marker: { color: look.color, size: 5 },
  };
}

/**
 * One trace per look; bands and raw lines lie below.
 * @param {Grid} grid @param {Line[]} lines
 */
export function tracesOf(grid, lines) {
  const bands = [];
  /** @type {Map<string, { look: Look, lines: Line[] }>} */
  const looks = new Map();
  for (const line of lines) {
    const look = lookOf(grid, line);
    if (line.low) {
      const x = new Float32Array(2 * line.x.length);
      const y = new Float32Array(2 * line.x.length);
      x.set(line.x);
      y.set(line.high);
      x.set(line.x.slice().reverse(), line.x.length);
      y.set(line.low.slice().reverse(), line.x.length);
      bands.push({
        type: "scatter",
        mode: "lines",
        x,
        y,
        fill: "toself",
        fillcolor: withAlpha(look.color, line.faint ? 0.09 : 0.18),
        line: { width: 0 },
        hoverinfo: "skip",
        showlegend: false,
      });
    }
    const single = line.x.length === 1;
    const name = `${look.color} ${look.dash} ${look.faint} ${single}`;
    const alike = looks.get(name);
    if (alike) alike.lines.push(line);
    else looks.set(name, { look, lines: [line] });
  }
  const raw = [];
  /** @type {object[]} */
  const faint = [];
  /** @type {object[]} */
  const full = [];
  const behind = lines.filter((line) => line.raw_x);
  for (const color of new Set(behind.map((line) => lookOf(grid, line).color))) {
    const own = behind.filter((line) => lookOf(grid, line).color === color);
    raw.push(trace({ color, dash: "solid" }, own, "raw_x", "raw_y", 1, 0.22));
  }
  for (const { look, lines: own } of looks.values()) {
    if (look.faint) faint.push(trace(look, own, "x", "y", 1.3, look.dash === "dot" ? 0.85 : 0.55));
    else full.push(trace(look, own, "x", "y", 2.1, 1));
  }
  return [...bands, ...raw, ...faint, ...full];
}

/**
 * A thin line at a level, and rings where lines come to it.
 * @param {Marks} marks @param {Line[]} lines
 */
export function marksOf(marks, lines) {
  const ends = lines.flatMap((line) => [line.x[0], line.x[line.x.length - 1]]);
  const shared = { type: "scatter", hoverinfo: "skip", showlegend: false };
  const level = {
    ...shared,
    mode: "lines",
    x: [Math.min(...ends), Math.max(...ends)],
    y: [marks.level, marks.level],
    line: { color: "muted", width: 1 },
  };
  const rings = marks.points.map(({ x, y, color }) => ({
    ...shared,
    mode: "markers",
    x: [x],
    y: [y],
    marker: { symbol: "circle-open", size: 11, color, line: { width: 2.4 } },
  }));
  return [level, ...rings];
}

/** @param {Grid} grid @param {Card} card @param {number} height */
export function layoutOf(grid, card, height) {
  const spec = card.spec;
  /** @type {Record<string, any>} */
  const layout = {
    margin: { l: 54, r: 12, t: 8, b: 38 },
    hovermode: false,
    dragmode: "zoom",
    showlegend: false,
    height,
    autosize: true,
    uirevision: zoomName(grid, card),
    xaxis: {
      title: { text: grid.data.x_title },
      type: spec.log_x ? "log" : "linear",
      rangemode: spec.log_x ? "normal" : "tozero",
      nticks: 7,
    },
    yaxis: { type: spec.log ? "log" : "linear", ticksuffix: spec.percent ? " %" : "", nticks: 6, exponentformat: "e" },
  };
  layout.xaxis.automargin = layout.yaxis.automargin = false; // measured and drawn twice otherwise
  if (spec.log) layout.yaxis.tickformat = "~g";
  if (spec.log_x) layout.xaxis.tickformat = "~g";
  if (spec.marks) {
    const y = spec.log ? Math.log10(spec.marks.level) : spec.marks.level;
    const place = { xref: "paper", x: 1, xanchor: "right", y, yanchor: "top", showarrow: false };
    layout.annotations = [{ text: spec.marks.text, ...place }];
  }
  const zoom = grid.zooms.get(zoomName(grid, card));
  if (spec.log_x && !zoom) {
    const ends = card.lines
      .flatMap((line) => [line.x.find((x) => x > 0) ?? 0, line.x[line.x.length - 1]])
      .filter((x) => x > 0);
    if (Math.max(...ends) < 300 * Math.min(...ends)) layout.xaxis.dtick = "D2"; // 1, 2 and 5 of each power of ten
  }
  for (const axis of /** @type {const} */ (["xaxis", "yaxis"])) {
    if (zoom) Object.assign(layout[axis], { range: [...zoom[axis]], autorange: false });
    else layout[axis].autorange = true;
  }
  return layout;
}

/**
 * Another quantity on an axis starts with a zoom of its own.
 * @param {Grid} grid @param {Card} card
 */
export function zoomName(grid, card) {
  return [card.id, grid.data.x_title, card.spec.log, card.spec.log_x].join(" ");
}
