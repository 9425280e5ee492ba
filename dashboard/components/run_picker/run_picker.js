// A list of runs to tick, searched in the browser. Runs are told to the server by their ids, never by where they stand,
// and every text is set with textContent.

import { button, element, swatch } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Item, Picker, PickerData, Quick } from "./types.js" */

/** @type {WeakMap<HTMLElement, Picker>} */
const pickers = new WeakMap();
const WAIT_MS = 250;

/** @param {Picker} picker */
function shown(picker) {
  const words = picker.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  return picker.data.items.filter(
    (item) => words.every((word) => item.words.includes(word)) && (!picker.only || picker.picked.has(item.id)),
  );
}

/** @param {Picker} picker @param {Iterable<string>} ids @param {boolean} [now] */
function choose(picker, ids, now) {
  const known = new Set(picker.data.items.map((item) => item.id));
  picker.picked = new Set([...ids].filter((id) => known.has(id)).slice(0, picker.data.most));
  mark(picker);
  clearTimeout(picker.timer);
  const send = () => picker.component.setStateValue("picked", [...picker.picked]);
  picker.timer = setTimeout(send, now ? 0 : WAIT_MS);
}

/** @param {Picker} picker */
function mark(picker) {
  for (const [id, box] of picker.boxes) box.checked = picker.picked.has(id);
  const { length } = picker.data.items;
  picker.count.textContent = `${picker.picked.size} of ${length} chosen`;
  picker.count.setAttribute("aria-pressed", String(picker.only));
}

/** @param {Picker} picker */
function list(picker) {
  const rows = [];
  picker.boxes = new Map();
  let section = null;
  const found = shown(picker);
  // what was chosen at first stands on top, and stays where it is however the choice goes on
  const ordered = [
    ...found.filter((item) => picker.first.has(item.id)),
    ...found.filter((item) => !picker.first.has(item.id)),
  ];
  for (const item of ordered) {
    const own = picker.first.has(item.id) ? null : item.section;
    if (own !== section) {
      section = own;
      if (section) rows.push(element("div", "rp-section", section));
    }
    const row = element("label", "rp-row");
    row.title = `${item.title}\n${item.sub}\n${item.id}`;
    const box = element("input");
    box.type = "checkbox";
    box.onchange = () => {
      const next = new Set(picker.picked);
      if (box.checked) next.add(item.id);
      else next.delete(item.id);
      choose(picker, next);
    };
    const text = element("span", "rp-text");
    const title = element("span", "rp-title", item.title.replaceAll(" %", "\u00a0%"));
    if (item.active) title.prepend(element("span", "rp-live"));
    text.append(title, element("span", "rp-sub", item.sub));
    row.append(box, swatch(item, 20, 3), text);
    picker.boxes.set(item.id, box);
    rows.push(row);
  }
  if (!found.length) {
    const words = picker.data.items.length ? "No run has all these words." : "There is no run yet.";
    rows.push(element("p", "rp-none", picker.only ? "None is chosen." : words));
  }
  const top = picker.list.scrollTop;
  picker.list.replaceChildren(...rows);
  picker.list.scrollTop = top;
  mark(picker);
}

const idsOf = (/** @type {Item[]} */ items) => items.map((item) => item.id);

/** @type {Quick[]} */
const QUICK = [
  ["All shown", "Adds every run that the search finds", (picker) => [...picker.picked, ...idsOf(shown(picker))]],
  ["Newest 10", "The ten newest that the search finds", newest],
  [
    "Same experiment",
    "Adds the runs that belong to those chosen: a pre-training and what was trained from it",
    related,
  ],
  ["None", "Chooses nothing", () => []],
];

/** @param {Picker} picker */
function newest(picker) {
  picker.only = false;
  return idsOf(shown(picker).slice(0, 10));
}

/** @param {Picker} picker */
function related(picker) {
  const { items } = picker.data;
  const chosen = items.filter((item) => picker.picked.has(item.id) && item.experiment);
  const wanted = new Set(chosen.map((item) => item.experiment));
  return [...picker.picked, ...idsOf(items.filter((item) => wanted.has(item.experiment)))];
}

/** @param {string[]} picked @returns {Picker} */
function make(picked) {
  const picker = /** @type {Picker} */ ({
    node: element("div", "run-picker"),
    only: false,
    first: new Set(picked),
    picked: new Set(picked),
    boxes: new Map(),
    drawn: "",
  });
  picker.search = element("input", "rp-search");
  picker.search.type = "search";
  picker.search.placeholder = "Search name, data, tag";
  picker.search.setAttribute("aria-label", "Search runs");
  picker.search.oninput = () => list(picker);
  const quick = element("div", "rp-quick");
  for (const [label, help, ids] of QUICK) {
    const choice = button(label, undefined, () => {
      choose(picker, new Set(ids(picker)), true);
      list(picker);
    });
    choice.title = help;
    quick.append(choice);
  }
  picker.count = button(
    undefined,
    undefined,
    () => {
      picker.only = !picker.only;
      list(picker);
    },
    "rp-count",
  );
  picker.count.title = "Show only the chosen, or all";
  picker.list = element("div", "rp-list");
  picker.list.setAttribute("role", "group");
  picker.list.setAttribute("aria-label", "Runs");
  picker.node.append(picker.search, quick, picker.count, picker.list);
  return picker;
}

/** @param {Component<PickerData>} component */
export default function runPicker(component) {
  const { parentElement, data } = component;
  const picker = stateIn(pickers, parentElement, () => make(data.picked));
  picker.component = component;
  picker.data = data;
  const stamp = JSON.stringify(data.items);
  if (stamp !== picker.drawn) {
    picker.drawn = stamp;
    list(picker);
  } else {
    mark(picker);
  }
  return () => {
    clearTimeout(picker.timer);
    discardState(pickers, parentElement);
  };
}
