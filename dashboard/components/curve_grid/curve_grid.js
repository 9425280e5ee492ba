// A grid of plotly charts that show the same runs, one metric each.
//
// Lines arrive as packed numbers. Those of one look are drawn as one trace with gaps, so that 200 runs cost plotly
// little more than eight. A second, invisible mount brings the lines that changed since the grid was drawn. Pointing
// at a chart reads all its lines at one place, and marks the place in all charts. Every text is set with textContent.

const grids = new Map(); // by key: updates find their grid, and a grid that comes back finds its zoom
const waiting = new Map(); // updates that came before their grid
const TOOLTIP_ROWS = 14;
const ICONS = {
  enlarge: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  shrink: "M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5",
  picture: "M12 4v11m-4-4 4 4 4-4M4 20h16",
};
const DASH_ARRAYS = { dash: "5 3", dashdot: "5 2 1 2", longdash: "8 3", dot: "1.5 2" };

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function drawn(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function iconButton(name, label, onclick) {
  const button = element("button", "cg-button");
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  const svg = drawn("svg", { viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" });
  svg.append(drawn("path", { d: ICONS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" }));
  button.append(svg);
  button.onclick = onclick;
  return button;
}

function swatch(look) {
  const svg = drawn("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" });
  const line = drawn("line", { x1: 1, x2: 21, y1: 4, y2: 4, stroke: look.color, "stroke-width": look.faint ? 1.6 : 2.6 });
  if (DASH_ARRAYS[look.dash]) line.setAttribute("stroke-dasharray", DASH_ARRAYS[look.dash]);
  svg.append(line);
  return svg;
}

// --- lines -----------------------------------------------------------------------------------------------------------

function numbers(text) {
  const signs = atob(text), bytes = new Uint8Array(signs.length);
  for (let i = 0; i < signs.length; i++) bytes[i] = signs.charCodeAt(i); // many times quicker than Uint8Array.from
  return new Float32Array(bytes.buffer);
}

const FIELDS = ["x", "y", "raw_x", "raw_y", "low", "high"];

// Takes in lines as they were sent; returns the charts for which something changed.
function takeIn(grid, sent) {
  const changed = new Set();
  for (const line of sent) {
    const name = JSON.stringify([line.chart, line.run, line.column]);
    const known = grid.lines.get(name);
    if (known && FIELDS.every((field) => known.sent[field] === line[field])) continue;
    const fresh = { ...line, sent: line };
    for (const field of FIELDS) if (line[field]) fresh[field] = numbers(line[field]);
    grid.lines.set(name, fresh);
    changed.add(line.chart);
  }
  return changed;
}

function linesOf(grid, id) {
  return [...grid.lines.values()].filter((line) => line.chart === id && grid.runs.has(line.run));
}

function lookOf(grid, line) {
  const run = grid.runs.get(line.run);
  return { color: run.color, dash: line.faint ? "dot" : run.dash, faint: line.faint };
}

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

function trace(look, xs, ys, width, opacity) {
  const single = xs.every((part) => part.length === 1);
  return {
    type: "scatter", mode: single ? "markers" : "lines", x: joined(xs), y: joined(ys), hoverinfo: "skip", opacity, connectgaps: false,
    showlegend: false, line: { color: look.color, dash: look.dash, width, simplify: true }, marker: { color: look.color, size: 5 },
  };
}

// One trace per look; bands and raw lines lie below.
function tracesOf(grid, lines) {
  const bands = [], looks = new Map();
  for (const line of lines) {
    const look = lookOf(grid, line);
    if (line.low) {
      const x = new Float32Array(2 * line.x.length), y = new Float32Array(2 * line.x.length);
      x.set(line.x); y.set(line.high);
      x.set(line.x.slice().reverse(), line.x.length); y.set(line.low.slice().reverse(), line.x.length);
      bands.push({
        type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: withAlpha(look.color, line.faint ? 0.09 : 0.18),
        line: { width: 0 }, hoverinfo: "skip", showlegend: false,
      });
    }
    const single = line.x.length === 1;
    const name = `${look.color} ${look.dash} ${look.faint} ${single}`;
    if (!looks.has(name)) looks.set(name, { look, lines: [] });
    looks.get(name).lines.push(line);
  }
  const raw = [], faint = [], full = [];
  const behind = lines.filter((line) => line.raw_x);
  for (const color of new Set(behind.map((line) => lookOf(grid, line).color))) {
    const own = behind.filter((line) => lookOf(grid, line).color === color);
    raw.push(trace({ color, dash: "solid" }, own.map((line) => line.raw_x), own.map((line) => line.raw_y), 1, 0.22));
  }
  for (const { look, lines: own } of looks.values()) {
    (look.faint ? faint : full).push(trace(look, own.map((line) => line.x), own.map((line) => line.y), look.faint ? 1.3 : 2.1, look.faint ? 0.75 : 1));
  }
  return [...bands, ...raw, ...faint, ...full];
}

function layoutOf(grid, card, height) {
  const spec = card.spec;
  const layout = {
    margin: { l: 54, r: 12, t: 8, b: 38 }, hovermode: false, dragmode: "zoom", showlegend: false, height, autosize: true,
    uirevision: zoomName(grid, card),
    xaxis: { title: { text: grid.data.x_title }, type: spec.log_x ? "log" : "linear", rangemode: spec.log_x ? "normal" : "tozero", nticks: 7 },
    yaxis: { type: spec.log ? "log" : "linear", ticksuffix: spec.percent ? " %" : "", nticks: 6, exponentformat: "e" },
  };
  layout.xaxis.automargin = layout.yaxis.automargin = false; // measured and drawn twice otherwise
  if (spec.log) layout.yaxis.tickformat = "~g";
  if (spec.log_x) layout.xaxis.tickformat = "~g";
  const zoom = grid.zooms.get(zoomName(grid, card));
  if (spec.log_x && !zoom) {
    const ends = card.lines.flatMap((line) => [line.x.find((x) => x > 0), line.x[line.x.length - 1]]).filter((x) => x > 0);
    if (Math.max(...ends) < 300 * Math.min(...ends)) layout.xaxis.dtick = "D2"; // 1, 2 and 5 of each power of ten
  }
  for (const axis of ["xaxis", "yaxis"]) {
    if (zoom) Object.assign(layout[axis], { range: [...zoom[axis]], autorange: false });
    else layout[axis].autorange = true;
  }
  return layout;
}

// Another quantity on an axis starts with a zoom of its own.
function zoomName(grid, card) {
  return [card.id, grid.data.x_title, card.spec.log, card.spec.log_x].join(" ");
}

// --- drawing, one chart after another, so that the page answers in between -------------------------------------------

const queue = [];
const SHARE = 1 / 40; // of the time that drawing one chart may take by refreshes; where all is slow they come less often
let working = 0;

// `soon`: because of what the user did, not because of a refresh.
function later(card, soon = true) {
  card.dirty = true;
  if (soon) card.notBefore = 0;
  if (!queue.includes(card)) queue.push(card);
  clearTimeout(working);
  working = setTimeout(work);
}

function work() {
  const now = performance.now();
  const gone = (card) => !card.node.isConnected;
  const next = queue.findIndex((card) => gone(card) || (card.visible && now >= card.notBefore));
  if (next >= 0) {
    const [card] = queue.splice(next, 1);
    if (!gone(card)) paintCard(card);
    requestAnimationFrame(() => (working = setTimeout(work)));
    return;
  }
  const waits = queue.filter((card) => card.visible).map((card) => card.notBefore - now);
  if (waits.length) working = setTimeout(work, Math.min(...waits));
}

function paintCard(card) {
  const { grid } = card;
  if (!grid.plotly || !card.dirty) return;
  card.dirty = false;
  const lines = linesOf(grid, card.id);
  card.lines = lines;
  card.empty.hidden = lines.length > 0;
  card.plot.hidden = !lines.length;
  if (!lines.length) return;
  card.width = card.plot.clientWidth;
  if (card.width < MIN_CHART_WIDTH) return; // painted when it is wider
  const height = grid.large === card.id ? grid.data.large_height : grid.data.height;
  const figure = paint({ data: tracesOf(grid, lines), layout: layoutOf(grid, card, height) }, theme(card.node));
  const started = performance.now();
  grid.plotly.react(card.plot, figure.data, figure.layout, {
    displaylogo: false, typesetMath: false, responsive: false, doubleClick: "autosize", showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"],
  });
  card.plot.drawMs = performance.now() - started; // told to who measures
  card.notBefore = started + card.plot.drawMs / SHARE;
  card.plot.setAttribute("aria-label", `${card.spec.title} of ${new Set(lines.map((line) => line.run)).size} runs. Arrow keys read values.`);
  if (!card.listens) {
    card.listens = true;
    card.plot.on("plotly_relayout", () => {
      const { xaxis, yaxis } = card.plot._fullLayout;
      const name = zoomName(grid, card);
      if (xaxis.autorange && yaxis.autorange) grid.zooms.delete(name);
      else grid.zooms.set(name, { xaxis: [...xaxis.range], yaxis: [...yaxis.range] });
    });
  }
  hideTooltip(grid);
}

// --- reading values at one place -------------------------------------------------------------------------------------

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && Math.abs(xs[low - 1] - x) <= Math.abs(xs[low] - x) ? low - 1 : low;
}

function valueText(spec, value) {
  if (spec.percent) return `${value.toFixed(1)} %`;
  return spec.digits === null ? String(Number(value.toPrecision(4))) : value.toFixed(spec.digits);
}

// Values of all lines at the measured place next to `x`; a line that has ended before is left out.
function readings(card, x) {
  const { xaxis } = card.plot._fullLayout;
  const pixel = (value) => xaxis.d2p(value);
  let place = null;
  for (const line of card.lines) {
    const own = line.x[nearest(line.x, x)];
    if (place === null || Math.abs(pixel(own) - pixel(x)) < Math.abs(pixel(place) - pixel(x))) place = own;
  }
  const found = [];
  for (const line of card.lines) {
    const index = nearest(line.x, place);
    const distance = Math.abs(pixel(line.x[index]) - pixel(place));
    const ended = index === 0 || index === line.x.length - 1;
    if (!(distance <= (ended ? 10 : 60))) continue;
    found.push({ line, value: line.y[index], low: line.low && line.low[index], high: line.high && line.high[index] });
  }
  return { place, found };
}

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
    const distance = ({ value }) => Math.abs(layout.yaxis.d2p(value) - pointerY);
    found.forEach((reading, index) => { if (distance(reading) < distance(found[near])) near = index; });
  }
  const first = Math.max(0, Math.min(near - (TOOLTIP_ROWS >> 1), found.length - TOOLTIP_ROWS));
  const shown = found.slice(first, first + TOOLTIP_ROWS);
  const box = card.tooltip;
  const rows = [element("div", "cg-place", `${grid.data.x_name} ${Number(place.toPrecision(5))}`)];
  if (first) rows.push(element("div", "cg-more", `${first} more`));
  for (const reading of shown) {
    const row = element("div", reading === found[near] && pointerY !== null ? "cg-row near" : "cg-row");
    const run = grid.runs.get(reading.line.run);
    row.append(swatch(lookOf(grid, reading.line)));
    row.append(element("span", "cg-name", run.title));
    if (reading.line.part) row.append(element("span", "cg-part", reading.line.part.toLowerCase()));
    row.append(element("span", "cg-value", valueText(spec, reading.value)));
    if (reading.low !== undefined) row.append(element("span", "cg-part", `${valueText(spec, reading.low)} – ${valueText(spec, reading.high)}, n = ${reading.line.num_runs}`));
    rows.push(row);
  }
  const rest = found.length - first - shown.length;
  if (rest > 0) rows.push(element("div", "cg-more", `${rest} more`));
  box.replaceChildren(...rows);
  box.hidden = false;
  // beside the place, into the neighbouring chart where there is one, but never out of the window
  const { left } = card.plot.getBoundingClientRect();
  const cursor = left + layout._size.l + layout.xaxis.d2p(place), page = document.documentElement.clientWidth;
  box.style.maxWidth = `${Math.min(440, page - 16)}px`;
  const right = cursor + 14 + box.offsetWidth <= page - 8;
  const target = right ? cursor + 14 : Math.max(8, cursor - 14 - box.offsetWidth);
  box.style.left = `${target - left}px`;
  box.classList.toggle("low", !right && target + box.offsetWidth > cursor); // no room at either side: below the chart
}

function moveCursor(card, place) {
  const layout = card.plot._fullLayout;
  const pixel = layout && layout.xaxis ? layout.xaxis.d2p(place) : NaN;
  card.cursor.hidden = !(pixel >= 0 && pixel <= layout.xaxis._length) || card.plot.hidden;
  if (card.cursor.hidden) return;
  card.cursor.style.left = `${layout._size.l + pixel}px`;
  card.cursor.style.top = `${layout._size.t}px`;
  card.cursor.style.height = `${layout._size.h}px`;
}

function hideTooltip(grid) {
  for (const card of grid.cards.values()) {
    card.tooltip.hidden = card.cursor.hidden = true;
  }
}

function onPointer(card, event) {
  const layout = card.plot._fullLayout;
  if (!layout || !layout.xaxis || (event.buttons && event.pointerType === "mouse")) return hideTooltip(card.grid);
  const box = card.plot.getBoundingClientRect();
  const x = event.clientX - box.left - layout._size.l, y = event.clientY - box.top - layout._size.t;
  if (x < 0 || x > layout._size.w || y < 0 || y > layout._size.h) return hideTooltip(card.grid);
  if (card.frame) cancelAnimationFrame(card.frame);
  card.frame = requestAnimationFrame(() => card.lines.length && showTooltip(card, layout.xaxis.p2d(x), y));
}

function onKey(card, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") return hideTooltip(card.grid);
  const layout = card.plot._fullLayout;
  if (!step || !card.lines.length || !layout) return;
  event.preventDefault();
  const longest = card.lines.reduce((a, b) => (b.x.length > a.x.length ? b : a));
  const from = card.tooltip.hidden ? layout.xaxis.p2d(layout._size.w / 2) : card.place;
  const index = Math.max(0, Math.min(longest.x.length - 1, nearest(longest.x, from) + (card.tooltip.hidden ? 0 : step)));
  showTooltip(card, longest.x[index], null);
}

// --- pictures --------------------------------------------------------------------------------------------------------

// The chart with a title and the names of its runs, on the page's background.
function savePicture(card) {
  const { grid, spec } = card;
  const colors = theme(card.node);
  const runs = [...new Set(card.lines.map((line) => line.run))].slice(0, 40);
  const names = runs.map((id) => grid.runs.get(id)).map(({ title, color, dash }) => ({
    type: "scatter", mode: "lines", x: [null], y: [null], name: title, line: { color, dash, width: 2.4 },
  }));
  const height = 560 + 24 * Math.ceil(names.length / 3);
  const figure = paint({ data: [...tracesOf(grid, card.lines), ...names], layout: layoutOf(grid, card, height) }, colors);
  Object.assign(figure.layout, {
    width: 1100, autosize: false, showlegend: true, paper_bgcolor: colors.background, plot_bgcolor: colors.background,
    margin: { l: 60, r: 24, t: 56, b: 48 }, title: { text: spec.title.replace(/[<>&]/g, " "), x: 0.01, font: { size: 17 } },
    legend: { ...figure.layout.legend, orientation: "h", y: -0.14, yanchor: "top" },
  });
  for (const entry of names) entry.name = entry.name.replace(/[<>&]/g, " "); // plotly reads a little markup
  return grid.plotly.downloadImage({ data: figure.data, layout: figure.layout }, {
    format: "png", width: 1100, height, scale: 2, filename: `curves-${card.id.replace(/[^A-Za-z0-9]+/g, "-")}`,
  });
}

// --- cards -----------------------------------------------------------------------------------------------------------

function makeCard(grid, spec) {
  const card = { grid, id: spec.id, spec, lines: [], visible: false, notBefore: 0 };
  card.node = element("section", "cg-card");
  card.title = element("h3", "cg-title");
  card.note = element("span", "cg-note", "i");
  card.enlarge = iconButton("enlarge", "", () => {
    grid.large = grid.large === card.id ? "" : card.id;
    grid.component.setStateValue("large", grid.large);
    arrange(grid);
    if (grid.large) card.node.scrollIntoView({ block: "nearest" });
  });
  const head = element("header", "cg-head");
  head.append(card.title, card.note, element("span", "cg-space"), iconButton("picture", "Save as PNG", () => savePicture(card)), card.enlarge);
  card.plot = element("div", "cg-plot");
  card.plot.tabIndex = 0;
  card.plot.setAttribute("role", "img");
  card.cursor = element("div", "cg-cursor");
  card.tooltip = element("div", "cg-tooltip");
  card.tooltip.setAttribute("role", "status");
  card.tooltip.hidden = card.cursor.hidden = true;
  card.empty = element("p", "cg-empty");
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

function arrange(grid) {
  for (const card of grid.cards.values()) {
    const large = grid.large === card.id, height = `${large ? grid.data.large_height : grid.data.height}px`;
    card.node.classList.toggle("large", large);
    const label = large ? `Back to the grid` : `Enlarge ${card.spec.title}`;
    card.enlarge.title = label;
    card.enlarge.setAttribute("aria-label", label);
    card.enlarge.setAttribute("aria-pressed", String(large));
    card.enlarge.querySelector("path").setAttribute("d", large ? ICONS.shrink : ICONS.enlarge);
    if (card.plot.style.height !== height) {
      card.plot.style.height = height;
      later(card);
    }
  }
}

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
    card.note.title = spec.help;
    card.empty.textContent = spec.empty;
    grid.cards.set(spec.id, card);
    later(card);
  }
  for (const card of before.values()) discard(card);
  grid.node.replaceChildren(...[...grid.cards.values()].map((card) => card.node));
  grid.node.style.setProperty("--columns", data.charts.length > 1 ? 2 : 1);
  arrange(grid);
  const update = waiting.get(grid.key);
  if (update) update.apply();
}

function discard(card) {
  card.grid.sight.unobserve(card.node);
  if (card.grid.plotly) card.grid.plotly.purge(card.plot);
  card.node.remove();
}

function update(data) {
  const apply = () => {
    const grid = grids.get(data.key);
    if (!grid || !grid.node || grid.base !== data.base) return;
    for (const id of takeIn(grid, data.lines)) if (grid.cards.has(id)) later(grid.cards.get(id), false);
  };
  waiting.set(data.key, { apply });
  apply();
}

function mount(grid, parentElement, data) {
  grid.node = element("div", "curve-grid");
  parentElement.append(grid.node);
  grid.base = "";
  grid.large = data.large;
  grid.lines = new Map();
  grid.runs = new Map();
  grid.cards = new Map();
  grid.sight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = [...grid.cards.values()].find((one) => one.node === entry.target);
      if (!card) continue;
      card.visible = entry.isIntersecting;
      if (card.visible && card.dirty) later(card, false);
    }
  }, { rootMargin: "200px" });
  grid.resize = new ResizeObserver(() => {
    for (const card of grid.cards.values()) {
      const width = card.plot.clientWidth;
      if (width && card.width !== undefined && width !== card.width) later(card);
    }
  });
  grid.resize.observe(grid.node);
  const repaint = () => { for (const card of grid.cards.values()) later(card); };
  grid.dark = window.matchMedia("(prefers-color-scheme: dark)");
  grid.onTheme = () => setTimeout(repaint, 300);
  grid.dark.addEventListener("change", grid.onTheme);
  loadPlotly(data.plotly).then(
    (plotly) => {
      grid.plotly = plotly;
      repaint();
    },
    (error) => grid.node.replaceChildren(element("p", "cg-empty", `${error.message}; reload the page.`)),
  );
}

export default function (component) {
  const { parentElement, data } = component;
  if (data.mode === "update") {
    update(data);
    return () => waiting.delete(data.key);
  }
  let grid = grids.get(data.key);
  if (!grid) grids.set(data.key, (grid = { key: data.key, zooms: new Map() }));
  if (grid.parent !== parentElement) {
    if (grid.unmount) grid.unmount();
    grid.parent = parentElement;
    mount(grid, parentElement, data);
    grid.unmount = () => {
      grid.resize.disconnect();
      grid.sight.disconnect();
      grid.dark.removeEventListener("change", grid.onTheme);
      for (const card of grid.cards.values()) discard(card);
      grid.node.remove();
      grid.node = grid.parent = grid.unmount = null;
    };
  }
  grid.component = component;
  refresh(grid, data);
  return () => grid.parent === parentElement && grid.unmount();
}
