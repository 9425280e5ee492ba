// Values of all lines at the place that is pointed at.

import { element, swatch } from "../common/elements.js";
import { lookOf } from "./lines.js";

/** @import { Card, Grid, Numbers, Reading, Run, Spec } from "./types.js" */

const TOOLTIP_ROWS = 14;

/** @param {Numbers} xs @param {number} x */
function nearest(xs, x) {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && Math.abs(xs[low - 1] - x) <= Math.abs(xs[low] - x) ? low - 1 : low;
}

/** @param {Spec} spec @param {number} value */
function valueText(spec, value) {
  if (spec.percent) return `${value.toFixed(1)} %`;
  return spec.digits === null ? String(Number(value.toPrecision(4))) : value.toFixed(spec.digits);
}

/**
 * Values of all lines at the measured place next to `x`; a line that has ended before is left out.
 * @param {Card} card @param {number} x @returns {{ place: number, found: Reading[] }}
 */
function readings(card, x) {
  const { xaxis } = card.plot._fullLayout;
  const pixel = (/** @type {number} */ value) => xaxis.d2p(value);
  let place = NaN;
  for (const line of card.lines) {
    const own = line.x[nearest(line.x, x)];
    if (Number.isNaN(place) || Math.abs(pixel(own) - pixel(x)) < Math.abs(pixel(place) - pixel(x))) place = own;
  }
  const found = [];
  for (const line of card.lines) {
    const index = nearest(line.x, place);
    const distance = Math.abs(pixel(line.x[index]) - pixel(place));
    const ended = index === 0 || index === line.x.length - 1;
    if (!(distance <= (ended ? 10 : 60))) continue;
    found.push({ line, value: line.y[index], low: line.low?.[index], high: line.high?.[index] });
  }
  return { place, found };
}

/** @param {Card} card @param {number} x @param {number | null} pointerY */
function showTooltip(card, x, pointerY) {
  const { grid, spec } = card;
  const layout = card.plot._fullLayout;
  if (!layout || !card.lines.length) return;
  const { place, found } = readings(card, x);
  card.place = place;
  for (const other of grid.cards.values()) moveCursor(other, place);
  const up = spec.better === "low" ? 1 : -1;
  found.sort((a, b) => up * (a.value - b.value) || a.line.run.localeCompare(b.line.run));
  let near = 0;
  if (pointerY !== null) {
    const distance = (/** @type {Reading} */ { value }) => Math.abs(layout.yaxis.d2p(value) - pointerY);
    found.forEach((reading, index) => {
      if (distance(reading) < distance(found[near])) near = index;
    });
  }
  const first = Math.max(0, Math.min(near - (TOOLTIP_ROWS >> 1), found.length - TOOLTIP_ROWS));
  const shown = found.slice(first, first + TOOLTIP_ROWS);
  const box = card.tooltip;
  const rows = [element("div", "cg-place", `${grid.data.x_name} ${Number(place.toPrecision(5))}`)];
  if (first) rows.push(element("div", "cg-more", `${first} more`));
  for (const reading of shown) {
    const row = element("div", reading === found[near] && pointerY !== null ? "cg-row near" : "cg-row");
    const run = /** @type {Run} */ (grid.runs.get(reading.line.run));
    const look = lookOf(grid, reading.line);
    row.append(swatch(look, 22, look.faint ? 1.6 : 2.6));
    row.append(element("span", "cg-name", run.title));
    if (reading.line.part) row.append(element("span", "cg-part", reading.line.part.toLowerCase()));
    row.append(element("span", "cg-value", valueText(spec, reading.value)));
    if (reading.low !== undefined)
      row.append(
        element(
          "span",
          "cg-part",
          `${valueText(spec, reading.low)} – ${valueText(spec, reading.high ?? NaN)}, n = ${reading.line.num_runs}`,
        ),
      );
    rows.push(row);
  }
  const rest = found.length - first - shown.length;
  if (rest > 0) rows.push(element("div", "cg-more", `${rest} more`));
  box.replaceChildren(...rows);
  box.hidden = false;
  // beside the place, into the neighbouring chart where there is one, but never out of the window
  const { left } = card.plot.getBoundingClientRect();
  const cursor = left + layout._size.l + layout.xaxis.d2p(place);
  const page = document.documentElement.clientWidth;
  box.style.maxWidth = `${Math.min(440, page - 16)}px`;
  const right = cursor + 14 + box.offsetWidth <= page - 8;
  const target = right ? cursor + 14 : Math.max(8, cursor - 14 - box.offsetWidth);
  box.style.left = `${target - left}px`;
  box.classList.toggle("low", !right && target + box.offsetWidth > cursor); // no room at either side: below the chart
}

/** @param {Card} card @param {number} place */
function moveCursor(card, place) {
  const layout = card.plot._fullLayout;
  const pixel = layout?.xaxis ? layout.xaxis.d2p(place) : NaN;
  card.cursor.hidden = !(pixel >= 0 && pixel <= layout.xaxis._length) || card.plot.hidden;
  if (card.cursor.hidden) return;
  card.cursor.style.left = `${layout._size.l + pixel}px`;
  card.cursor.style.top = `${layout._size.t}px`;
  card.cursor.style.height = `${layout._size.h}px`;
}

/** @param {Grid} grid */
export function hideTooltip(grid) {
  for (const card of grid.cards.values()) {
    card.tooltip.hidden = card.cursor.hidden = true;
  }
}

/** @param {Card} card @param {PointerEvent} event */
export function onPointer(card, event) {
  const layout = card.plot._fullLayout;
  if (!layout?.xaxis || (event.buttons && event.pointerType === "mouse")) return hideTooltip(card.grid);
  const box = card.plot.getBoundingClientRect();
  const x = event.clientX - box.left - layout._size.l;
  const y = event.clientY - box.top - layout._size.t;
  if (x < 0 || x > layout._size.w || y < 0 || y > layout._size.h) return hideTooltip(card.grid);
  if (card.frame) cancelAnimationFrame(card.frame);
  card.frame = requestAnimationFrame(() => card.lines.length && showTooltip(card, layout.xaxis.p2d(x), y));
}

/** @param {Card} card @param {KeyboardEvent} event */
export function onKey(card, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") return hideTooltip(card.grid);
  const layout = card.plot._fullLayout;
  if (!step || !card.lines.length || !layout) return;
  event.preventDefault();
  const longest = card.lines.reduce((a, b) => (b.x.length > a.x.length ? b : a));
  const from = card.tooltip.hidden ? layout.xaxis.p2d(layout._size.w / 2) : card.place;
  const index = Math.max(
    0,
    Math.min(longest.x.length - 1, nearest(longest.x, from) + (card.tooltip.hidden ? 0 : step)),
  );
  showTooltip(card, longest.x[index], null);
}
