// One or two maps of the same images. Every text is set with textContent: names of runs and classes are never read as
// markup. The state lives with the mounted element, so that zoom and choice survive every update. All that is needed
// from outside is { data, parentElement, setStateValue }.

import { arrayType, fromBase64 } from "../common/bytes.js";
import { element } from "../common/elements.js";
import { helpWord } from "../common/help.js";
import { isStill } from "../common/motion.js";
import { discardState, stateIn } from "../common/states.js";
import { theme } from "../common/theme.js";
import { choose, showChoice } from "./choice.js";
import { choiceFrom } from "./choice_text.js";
import { drawDetails, open } from "./details.js";
import { redraw, refreshLevels } from "./drawing.js";
import { groupColor, isScale, scaleColor, UNKNOWN_COLOR } from "./elements.js";
import { glide, makeFilm, pause, playOrPause, setFrame, showPlaying } from "./film.js";
import { makeFinder, searchFor, setDrawing, takeInSearch } from "./finder.js";
import { bounds } from "./geometry.js";
import { leave } from "./gestures.js";
import { drawLegend } from "./legend.js";
import { moveTo } from "./moving.js";
import { areNamesWanted } from "./names.js";
import { closeSheet, noGuests, takeGuests } from "./own_marks.js";
import { makePanel } from "./panel.js";
import { packColor } from "./raster.js";
import { CHOICE_MS, report } from "./report.js";
import { drawingFrom } from "./shading.js";
import { forgetSheets } from "./sheets.js";
import { makeToolbar } from "./toolbar.js";
import { makeTug, noTug, showTug, takeTug } from "./tug.js";
import { tugFrom } from "./tug_text.js";

/** @import { Component, TypedArray } from "../common/types.js" */
/** @import { Arrays, EmbeddingMap, MapData, Panel, PanelData, Start } from "./types.js" */

/** @type {WeakMap<HTMLElement, EmbeddingMap>} */
const maps = new WeakMap();
const NO_GROUP_BYTE = 255;
const NUM_STREAMS = 64;

/**
 * The arrays that `data` names; null while one is not there yet.
 * @param {MapData} data @returns {Arrays | null}
 */
function arraysOf(data) {
  const names = [
    data.ids,
    data.labels,
    ...data.color.values,
    data.search?.files,
    ...(data.search?.fields ?? []).map((field) => field.values),
    ...data.panels.flatMap((panel) => [panel.points, panel.frames, panel.neighbors, panel.similarities]),
  ].filter((name) => typeof name === "string");
  /** @type {Arrays} */
  const found = {};
  for (const name of names) {
    const inside = data.arrays?.[name]; // a page without a server brings them along
    const Type = arrayType(name);
    found[name] = inside === undefined ? window.simclrArrays?.get(name) : new Type(fromBase64(inside).buffer);
    if (!found[name]) return null;
  }
  return found;
}

/** @param {TypedArray} values */
function groupsFrom(values) {
  return Int32Array.from(values, (value) => (values instanceof Uint8Array && value === NO_GROUP_BYTE ? -1 : value));
}

/** @param {EmbeddingMap} map */
function applyColors(map) {
  const { color } = map.data;
  map.theme = theme(map.node);
  const plain = packColor(map.theme.dark ? [109, 135, 245] : [66, 99, 235]);
  const unknown = packColor(UNKNOWN_COLOR);
  const steps = 255;
  const span = color.high - color.low || 1;
  const palette = isScale(color)
    ? Array.from({ length: steps + 1 }, (_, i) => packColor(scaleColor(color.kind, i / steps, map.theme.dark)))
    : color.colors.map((text) => packColor(groupColor(map, text)));
  for (const panel of map.panels) {
    const { own, values, groups } = panel;
    panel.modes = null; // of other points or classes
    for (let i = 0; i < map.count; i++) {
      const place = isScale(color)
        ? Math.round(steps * Math.min(1, Math.max(0, (values[i] - color.low) / span)))
        : groups[i];
      own[i] = color.label ? (palette[place] ?? unknown) : plain;
    }
  }
  drawLegend(map);
  refreshLevels(map);
}

/**
 * The order of drawing goes through many parts of the list at once: drawn from its beginning to its end, the last class
 * would lie over all others where files are sorted. A true shuffle takes twice the time, since memory is read in lines.
 * @param {number} count
 */
function interleaved(count) {
  const length = Math.ceil(count / NUM_STREAMS);
  const order = new Uint32Array(count);
  let place = 0;
  for (let offset = 0; offset < length; offset++) {
    for (let i = offset; i < count; i += length) order[place++] = i;
  }
  return order;
}

/**
 * @param {EmbeddingMap} map @param {Panel} panel @param {PanelData} given @param {number} place
 * @param {Arrays} arrays
 */
function takeInPanel(map, panel, given, place, arrays) {
  panel.title.textContent = given.title;
  panel.subtitle.textContent = given.subtitle;
  panel.note.textContent = given.note || "";
  panel.stats.replaceChildren(
    ...given.stats.map((stat) => {
      const item = element("div", "stat");
      item.append(element("b", "", stat.value));
      item.append(...(stat.help ? helpWord(stat.label, stat.help) : [element("span", "", stat.label)]));
      return item;
    }),
  );
  panel.stats.classList.toggle("many", given.stats.length > 2); // the map comes first then
  panel.canvas.setAttribute(
    "aria-label",
    `Map of ${map.count} images by ${given.title}. Arrow keys walk from image to image, Enter opens, ` +
      "question mark lists all keys.",
  );
  const { color } = map.data;
  panel.values = arrays[color.values[place] ?? color.values[0]] ?? new Float32Array(map.count);
  panel.groups = isScale(color) || !color.label ? new Int32Array(map.count).fill(-1) : groupsFrom(panel.values);
  panel.neighbors = arrays[given.neighbors ?? ""];
  panel.similarities = arrays[given.similarities ?? ""];
  if (panel.levels?.length !== map.count) {
    panel.own = new Uint32Array(map.count);
    panel.colors = new Uint32Array(map.count);
    panel.levels = new Uint8Array(map.count);
  }
  if (panel.source !== (given.frames ?? given.points)) {
    panel.source = given.frames ?? given.points;
    panel.frames = arrays[given.frames ?? ""] ?? null;
    panel.points = arrays[given.points ?? ""] ?? panel.frames?.subarray(0, 2 * map.count);
    panel.between = panel.grid = null;
    const isSamePlace = given.extent !== undefined && given.extent === panel.extent;
    panel.extent = given.extent;
    if (isSamePlace) return; // a film that has grown: the zoom stays
    // one box for all frames, or the cloud would jump
    panel.box = given.extent
      ? { x: 0, y: 0, width: 2 * given.extent, height: 2 * given.extent }
      : bounds(panel.frames ?? panel.points);
    panel.zoom = 1;
    panel.center = { x: panel.box.x, y: panel.box.y };
    panel.node.classList.remove("zoomed");
  }
}

/**
 * False while arrays are on their way.
 * @param {EmbeddingMap} map @param {MapData} data
 */
function takeIn(map, data) {
  const arrays = arraysOf(data);
  if (!arrays) return false;
  pause(map);
  const isOther = map.data?.images !== data.images;
  const opened = map.data && map.opened >= 0 ? map.ids[map.opened] : -1;
  const before = map.data && !isOther ? map.numFrames : 0;
  const kept = new Set(map.data && isOther && map.numChosen ? map.ids.filter((_, i) => map.chosen[i]) : []);
  if (map.data?.color.label !== data.color.label) map.hidden = new Set();
  map.data = data;
  map.node.classList.toggle("plain", Boolean(data.plays));
  map.revision = data.revision;
  map.ids = arrays[data.ids];
  map.count = map.ids.length;
  map.labels = data.labels ? groupsFrom(arrays[data.labels]) : new Int32Array(map.count).fill(-1);
  map.hovered = -1;
  map.focus = null;
  forgetSheets(map, data.sheets);
  while (map.panels.length < data.panels.length) map.panels.push(makePanel(map));
  map.panels.splice(data.panels.length).forEach((panel) => map.resize.unobserve(panel.canvas));
  map.holder.replaceChildren(...map.panels.map((panel) => panel.node));
  map.holder.classList.toggle("single", map.panels.length === 1);
  map.panels.forEach((panel) => map.resize.observe(panel.canvas));
  if (isOther) {
    map.order = interleaved(map.count);
    map.opened = map.ids.indexOf(opened);
    map.chosen = Uint8Array.from(map.ids, (id) => (kept.has(id) ? 1 : 0));
    map.numChosen = map.chosen.reduce((sum, is) => sum + is, 0);
    if (kept.size) report(map, CHOICE_MS);
  }
  data.panels.forEach((given, place) => takeInPanel(map, map.panels[place], given, place, arrays));
  const frames = map.panels.map((panel) => (panel.frames ? panel.frames.length / (2 * map.count) : 1));
  map.numFrames = Math.min(...frames.filter((number) => number > 1).concat(Math.max(...frames)));
  map.film.hidden = map.numFrames < 2;
  map.slider.max = String(map.numFrames - 1);
  map.frameLabel.textContent = data.frame_label || "Frame";
  map.slider.setAttribute("aria-label", data.frame_label || "Frame");
  const follows = data.grows && before > 0 && map.frame >= before - 1;
  setFrame(map, follows ? before - 1 : map.frame);
  if (follows) glide(map, map.numFrames - 1);
  takeInSearch(map, data, arrays);
  applyColors(map);
  return true;
}

/**
 * What the address or the page asks for: at the beginning, and whenever its token changes.
 * @param {EmbeddingMap} map @param {Start} start
 */
function begin(map, { token, image, selection, frame, hidden, zoom, search, drawing, tug }) {
  if (map.token === token) return;
  map.token = token;
  map.quiet = true;
  pause(map);
  setFrame(map, frame);
  map.hidden = new Set(hidden.filter((group) => group in map.data.color.names));
  zoom.forEach(([size, x, y], place) => map.panels[place] && moveTo(map, map.panels[place], size, x, y));
  Object.assign(map.tug, { isWanted: Boolean(tug), ...tugFrom(tug) });
  open(map, map.ids.indexOf(image));
  choose(map, choiceFrom(selection, map.count));
  searchFor(map, search);
  setDrawing(map, drawingFrom(drawing));
  if (map.data.plays && !isStill()) {
    setFrame(map, 0);
    playOrPause(map);
  }
  map.quiet = false;
  clearTimeout(map.timer);
  map.delay = undefined;
}

/** @param {EmbeddingMap} map */
function show(map) {
  const { data } = map.component;
  if (map.revision !== data.revision && !takeIn(map, data)) return;
  map.data = data;
  begin(map, data.start);
  takeGuests(map);
  takeTug(map);
  showTug(map);
  const stamp = JSON.stringify([data.revision, map.opened, data.details, map.tug.source]);
  if (stamp !== map.stamp) {
    map.stamp = stamp;
    drawDetails(map);
  }
  showChoice(map);
  recolor(map);
  redraw(map);
}

/**
 * Streamlit sets its colours a moment after the system, or calls again.
 * @param {EmbeddingMap} map
 */
function recolor(map) {
  if (!map.data || JSON.stringify(theme(map.node)) === JSON.stringify(map.theme)) return;
  applyColors(map);
  drawDetails(map);
}

/** @returns {EmbeddingMap} */
function mount() {
  const map = /** @type {EmbeddingMap} */ ({
    hidden: new Set(),
    hovered: -1,
    opened: -1,
    focus: null,
    panels: /** @type {Panel[]} */ ([]),
    stamp: "",
    frame: 0,
    numChosen: 0,
    chosen: new Uint8Array(0),
    legendItems: /** @type {EmbeddingMap["legendItems"]} */ ([]),
    sheets: new Map(),
    bitmaps: new Map(),
    isReading: false,
    guests: noGuests(),
    tug: noTug(),
    areNamesWanted: areNamesWanted(),
  });
  map.node = element("div", "emap");
  map.holder = element("div", "panels");
  map.film = makeFilm(map);
  map.film.hidden = true;
  map.legend = element("div", "legend");
  map.legend.setAttribute("role", "group");
  map.legend.setAttribute("aria-label", "Legend");
  const hint =
    "Click a point to see its image and its nearest neighbours. The lasso, or Shift and drag, selects images.";
  map.hint = element("p", "hint", hint);
  map.details = element("section", "details");
  map.details.hidden = true;
  map.said = element("div", "sr");
  map.said.setAttribute("role", "status");
  map.said.setAttribute("aria-live", "polite");
  map.tip = element("div", "tip");
  map.help = element("section", "help");
  map.help.setAttribute("role", "dialog");
  map.help.setAttribute("aria-label", "Keys and gestures");
  map.help.hidden = true;
  map.node.addEventListener("keydown", (event) => event.key === "Escape" && leave(map));
  const controls = element("div", "controls");
  controls.append(makeFinder(map), makeToolbar(map));
  const stage = element("div", "stage");
  stage.append(map.holder, map.finder.about, map.film, ...makeTug(map));
  const side = element("div", "side");
  side.append(map.legend, map.hint, map.details);
  const body = element("div", "body");
  body.append(stage, side);
  map.node.append(controls, map.help, body, map.said, map.tip);
  showPlaying(map);
  map.resize = new ResizeObserver(() => {
    for (const panel of map.panels) panel.stale = true;
    redraw(map);
  });
  // text on a canvas is not drawn again by itself when its font has come
  document.fonts.ready.then(() => {
    for (const panel of map.panels) panel.modes = null;
    for (const panel of map.panels) panel.stale = true;
    redraw(map);
  });
  map.onArrays = () => show(map);
  window.addEventListener("simclr-arrays", map.onArrays);
  map.darkness = window.matchMedia("(prefers-color-scheme: dark)");
  map.onTheme = () => setTimeout(() => recolor(map), 300);
  map.darkness.addEventListener("change", map.onTheme);
  return map;
}

/** @param {EmbeddingMap} map */
function unmount(map) {
  pause(map);
  clearTimeout(map.timer);
  if (map.waiting) cancelAnimationFrame(map.waiting);
  map.resize.disconnect();
  window.removeEventListener("simclr-arrays", map.onArrays);
  map.darkness.removeEventListener("change", map.onTheme);
  map.sheets.forEach((address) => URL.revokeObjectURL(address));
  forgetSheets(map, []);
  closeSheet(map.guests.sheet);
  closeSheet(map.tug.loaded?.sheet);
}

/** @param {Component<MapData>} component */
export default function embeddingMap(component) {
  const { parentElement } = component;
  const map = stateIn(maps, parentElement, mount);
  map.component = component;
  show(map);
  return () => {
    unmount(map);
    discardState(maps, parentElement);
  };
}
