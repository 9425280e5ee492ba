// The field above the maps that finds images, and the choice of how they are drawn.

import { button, element } from "../common/elements.js";
import { choose } from "./choice.js";
import { choiceFrom } from "./choice_text.js";
import { redraw, refreshLevels } from "./drawing.js";
import { count, icon, say } from "./elements.js";
import { findRows } from "./query.js";
import { CHOICE_MS, report } from "./report.js";
import { aboutDrawing, DRAWINGS, drawingFrom } from "./shading.js";
import { suggestions } from "./suggestions.js";

/** @import { Arrays, Drawing, EmbeddingMap, MapData, Searched } from "./types.js" */

const TYPING_MS = 140; // how long to wait for the next sign
const ERROR_MS = 900; // half a condition is no mistake yet
let numFields = 0; // of fields on a page: their lists need names of their own

/**
 * What the field searches, from the arrays of the page.
 * @param {EmbeddingMap} map @param {MapData} data @param {Arrays} arrays
 */
export function takeInSearch(map, data, arrays) {
  const { fields = [], files = null, tags = [] } = data.search ?? {};
  const names = arrays[files ?? ""];
  map.searched = {
    count: map.count,
    ids: map.ids,
    labels: map.labels,
    classes: data.classes.map(({ name }) => name),
    files: names ? new TextDecoder().decode(names).split("\n") : [],
    fields: fields.map((field) => ({ ...field, values: arrays[field.values] })),
    tags: tags.map(({ name, rows }) => ({ name, rows: choiceFrom(rows, map.count) })),
  };
  const { finder } = map;
  finder.input.placeholder = placeholder(map.searched);
  lookUp(map, finder.input.value);
  showDrawing(map);
}

/** @param {Searched} source */
function placeholder(source) {
  const numbers = source.fields.find(({ kind }) => kind === "number");
  const words = [source.classes.length ? "class" : "", "image number", source.files.length ? "file" : ""];
  const example = numbers ? ` or ${numbers.name} > …` : "";
  return `Find: ${words.filter(Boolean).join(", ")}${example}`;
}

/**
 * Looks up what a text asks for, nothing for an empty one; which points are lit follows from it.
 * @param {EmbeddingMap} map @param {string} text
 */
function lookUp(map, text) {
  const { finder } = map;
  clearTimeout(finder.timer);
  finder.text = text.trim();
  const { rows, number, error } = findRows(text, map.searched);
  map.found = number ? rows : null;
  map.numFound = number;
  finder.error = error;
  showFound(map);
}

/** @param {EmbeddingMap} map */
export function showFound(map) {
  const { finder, numFound } = map;
  const both = map.found ? map.chosen.reduce((sum, is, i) => sum + (is & Number(map.found?.[i])), 0) : 0;
  const selected = map.numChosen && both < numFound ? `, ${count(both)} selected` : "";
  finder.count.textContent = numFound ? `${count(numFound)} of ${count(map.count)}${selected}` : "";
  finder.select.hidden = !numFound || (both === numFound && map.numChosen === numFound);
  finder.clear.hidden = !finder.input.value;
  finder.node.classList.toggle("none", Boolean(finder.error && finder.isSaid));
  finder.message.textContent = finder.isSaid ? finder.error : "";
  finder.message.hidden = !finder.message.textContent;
}

/**
 * Says how many were found, or why none.
 * @param {EmbeddingMap} map
 */
function tell(map) {
  const { finder } = map;
  finder.isSaid = true;
  showFound(map);
  if (finder.text) say(map, finder.error || `${count(map.numFound)} of ${count(map.count)} images found`);
}

/** @param {EmbeddingMap} map @param {string} text @param {boolean} [isWhole] no more is being typed */
export function searchFor(map, text, isWhole = true) {
  const { finder } = map;
  clearTimeout(finder.timer);
  finder.isSaid = isWhole;
  if (finder.input.value !== text) finder.input.value = text;
  const before = finder.text;
  lookUp(map, text);
  refreshLevels(map);
  if (isWhole) tell(map);
  else finder.timer = setTimeout(() => tell(map), ERROR_MS);
  if (finder.text !== before) report(map, CHOICE_MS);
}

/**
 * True where there was something to clear.
 * @param {EmbeddingMap} map
 */
export function clearSearch(map) {
  const { finder } = map;
  if (!finder.text && !finder.input.value) return false;
  searchFor(map, "");
  say(map, "Search cleared");
  return true;
}

// --- suggestions ---

/** @param {EmbeddingMap} map @param {boolean} isWanted */
function suggest(map, isWanted) {
  const { finder } = map;
  const found = isWanted ? suggestions(finder.input.value, map.searched) : [];
  finder.active = -1;
  finder.list.replaceChildren(
    ...found.map(({ text, label, note }, place) => {
      const item = element("li");
      item.id = `${finder.list.id}-${place}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.append(element("span", "", label), element("span", "note", note));
      item.dataset.text = text;
      // before the field loses the focus, for mouse and finger alike
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => take(map, text));
      return item;
    }),
  );
  finder.list.hidden = !found.length;
  finder.input.setAttribute("aria-expanded", String(found.length > 0));
  finder.input.removeAttribute("aria-activedescendant");
}

/** @param {EmbeddingMap} map @param {string} text */
function take(map, text) {
  const isWhole = !/[<>=]\s*$/.test(text);
  searchFor(map, text, isWhole);
  suggest(map, !isWhole);
  map.finder.input.focus();
}

/** @param {EmbeddingMap} map @param {number} step */
function walkSuggestions(map, step) {
  const { finder } = map;
  const items = /** @type {HTMLElement[]} */ ([...finder.list.children]);
  if (!items.length) return suggest(map, true);
  finder.active = (finder.active + step + items.length + (finder.active < 0 && step < 0 ? 1 : 0)) % items.length;
  items.forEach((item, place) => item.setAttribute("aria-selected", String(place === finder.active)));
  items[finder.active].scrollIntoView({ block: "nearest" });
  finder.input.setAttribute("aria-activedescendant", items[finder.active].id);
}

/**
 * True if the key means something here.
 * @param {EmbeddingMap} map @param {string} key
 */
function pressInField(map, key) {
  const { finder } = map;
  const active = /** @type {HTMLElement | undefined} */ (finder.list.children[finder.active]);
  if (key === "ArrowDown") walkSuggestions(map, 1);
  else if (key === "ArrowUp") walkSuggestions(map, -1);
  else if (key === "Enter" && active?.dataset.text !== undefined) take(map, active.dataset.text);
  else if (key === "Enter") {
    searchFor(map, finder.input.value);
    suggest(map, false);
  } else if (key === "Escape") {
    clearSearch(map);
    suggest(map, false);
  } else return false;
  return true;
}

// --- the elements ---

/** @param {EmbeddingMap} map */
export function makeFinder(map) {
  const id = `emap-found-${numFields++}`;
  const node = element("div", "finder");
  const field = element("div", "find");
  const input = element("input");
  input.type = "text";
  input.maxLength = 200;
  input.autocomplete = "off";
  input.spellcheck = false;
  input.enterKeyHint = "search";
  const attributes = {
    role: "combobox",
    "aria-label": "Find images by class, number, file or property",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": id,
  };
  for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
  const list = element("ul", "suggested");
  list.id = id;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "What can be found");
  list.hidden = true;
  const clear = button("×", "Clear the search", () => {
    clearSearch(map);
    input.focus();
  });
  clear.className = "clear";
  field.append(icon("search"), input, clear, list);
  const found = element("span", "found");
  const select = button("Select", "Select the images that were found", () => {
    if (map.found) choose(map, Uint8Array.from(map.found));
    input.focus();
  });
  const message = element("p", "message");
  message.hidden = true;
  const about = element("p", "about-drawing");
  const drawings = element("div", "pair drawings");
  drawings.setAttribute("role", "group");
  drawings.setAttribute("aria-label", "How images are drawn");
  const drawingButtons = Object.entries(DRAWINGS).map(([name, { label, title }]) => {
    const each = button(label, undefined, () => setDrawing(map, drawingFrom(name)));
    each.title = title;
    each.dataset.drawing = name;
    return each;
  });
  drawings.append(...drawingButtons);
  node.append(field, found, select, drawings, message);
  map.drawing = "points";
  map.found = null;
  map.numFound = 0;
  map.finder = {
    node,
    input,
    list,
    count: found,
    select,
    clear,
    message,
    about,
    drawingButtons,
    active: -1,
    text: "",
    error: "",
    isSaid: false,
  };
  input.addEventListener("input", () => {
    suggest(map, true);
    clearTimeout(map.finder.timer);
    map.finder.timer = setTimeout(() => searchFor(map, input.value, false), TYPING_MS);
    clear.hidden = !input.value;
  });
  input.addEventListener("focus", () => suggest(map, !input.value));
  input.addEventListener("blur", () => {
    suggest(map, false);
    if (map.searched && input.value.trim() !== map.finder.text) searchFor(map, input.value);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (!event.ctrlKey && !event.metaKey && !event.altKey && pressInField(map, event.key)) event.preventDefault();
    event.stopPropagation(); // the maps and Streamlit have keys of their own
  });
  return node;
}

/** @param {EmbeddingMap} map @param {Drawing} drawing */
export function setDrawing(map, drawing) {
  if (map.drawing !== drawing) {
    map.drawing = drawing;
    report(map, CHOICE_MS);
  }
  showDrawing(map);
  if (!map.quiet) say(map, [DRAWINGS[drawing].label, aboutDrawing(map)].filter(Boolean).join(": "));
  for (const panel of map.panels) panel.stale = true;
  redraw(map);
}

/** @param {EmbeddingMap} map */
export function showDrawing(map) {
  const { about, drawingButtons } = map.finder;
  for (const each of drawingButtons) each.setAttribute("aria-pressed", String(each.dataset.drawing === map.drawing));
  about.textContent = aboutDrawing(map);
  about.hidden = !about.textContent;
}

/**
 * The key that goes on to the next way of drawing.
 * @param {EmbeddingMap} map
 */
export function nextDrawing(map) {
  const names = /** @type {Drawing[]} */ (Object.keys(DRAWINGS));
  setDrawing(map, names[(names.indexOf(map.drawing) + 1) % names.length]);
}
