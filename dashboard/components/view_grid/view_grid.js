// Tiles of one sprite, enlarged without smoothing. Every text is set with textContent.

import { fromDataAddress } from "../common/bytes.js";
import { button, element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";
import { frame, heading, tile } from "./parts.js";
import { drawShortcut } from "./shortcut.js";
import { drawSteps } from "./steps.js";

/** @import { Component } from "../common/types.js" */
/** @import { PickerData, ViewGrid, ViewGridData, ViewsData } from "./types.js" */

/** @type {WeakMap<HTMLElement, ViewGrid>} */
const grids = new WeakMap();

/** @param {ViewsData} data */
function drawViews(data) {
  const rows = element("div", data.rows.length > 1 ? "rows" : "rows single");
  data.rows.forEach((row, place) => {
    const figure = element("figure");
    const trio = element("div", "trio");
    ["", "one", "two"].forEach((name, column) => {
      const cell = element("div", name);
      const done = column ? row.words[column - 1] : [];
      const said = done.map((pair) => pair.join(" ").trim()).join(", ");
      const title = column ? (data.names?.[column - 1] ?? `View ${column}`) : row.title;
      const picture = column
        ? tile(data.sprite, column - 1, place, 2, data.rows.length, `${title} of ${row.title}: ${said}`)
        : tile(data.originals, 0, place, 1, data.rows.length, row.title);
      if (column)
        picture.tabIndex = 0; // its crop stands out in the original
      else row.boxes.forEach((box, which) => frame(picture, box, which));
      const words = element("div", data.names ? "words few" : "words");
      for (const [what, value] of done) {
        const line = element("div");
        line.append(element("span", "", what), element("span", "", value));
        words.append(line);
      }
      const key = column && row.boxes[column - 1] ? name : "";
      cell.append(heading(title, key), picture, words);
      trio.append(cell);
    });
    figure.append(trio);
    rows.append(figure);
  });
  return rows;
}

/** @param {ViewGrid} grid @param {PickerData} data @param {number} number @param {HTMLElement} strip */
function pick(grid, data, number, strip) {
  const { picked } = grid;
  const on = picked.includes(number);
  if (on && picked.length === 1) return; // nothing to show without any
  grid.picked = on ? picked.filter((other) => other !== number) : [...picked, number].slice(-data.most);
  [...strip.children].forEach((child, index) =>
    child.setAttribute("aria-pressed", String(grid.picked.includes(data.items[index].number))),
  );
  grid.component.setStateValue("picked", grid.picked);
}

/** @param {ViewGrid} grid @param {PickerData} data */
function drawPicker(grid, data) {
  const strip = element("div", "strip");
  data.items.forEach((item, place) => {
    const open = button(undefined, item.title, () => pick(grid, data, item.number, strip));
    open.setAttribute("aria-pressed", String(grid.picked.includes(item.number)));
    open.append(tile(data.sprite, place, 0, data.items.length, 1));
    strip.append(open);
  });
  return strip;
}

const PICTURES = ["sprite", "originals", "original"];

/**
 * A picture that comes as text becomes a file of the browser's: 32 tiles of one text of a megabyte are slow to style.
 * The same text keeps its file; those that nothing shows any more are given back.
 * @param {ViewGrid} grid @param {ViewGridData} data
 */
function withFiles(grid, data) {
  /** @type {Record<string, any>} */
  const found = { ...data };
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const name of PICTURES) {
    const text = found[name];
    if (!text) continue;
    files.set(text, grid.files.get(text) ?? URL.createObjectURL(fromDataAddress(text)));
    found[name] = files.get(text);
  }
  const old = [...grid.files].filter(([text]) => !files.has(text)).map(([, url]) => url);
  grid.files = files;
  return { found, old, urls: [...files.values()] };
}

/** @param {string} url */
function decoded(url) {
  const image = new Image();
  image.src = url;
  return image.decode().catch(() => {});
}

/** @param {Component<ViewGridData>} component */
export default function viewGrid(component) {
  const { parentElement, data } = component;
  const make = () =>
    /** @type {ViewGrid} */ ({
      node: element("div", "vgrid"),
      drawn: "",
      picked: /** @type {number[]} */ ([]),
      files: new Map(),
    });
  const grid = stateIn(grids, parentElement, make);
  grid.component = component;
  const drawn = `${data.mode} ${data.revision}`;
  if (drawn !== grid.drawn) {
    grid.drawn = drawn;
    const { found, old, urls } = withFiles(grid, data);
    if (data.mode === "picker") grid.picked = data.picked;
    /** @type {Record<string, (data: any) => HTMLElement>} */
    const draw = {
      picker: (found) => drawPicker(grid, found),
      views: drawViews,
      steps: drawSteps,
      shortcut: drawShortcut,
    };
    // decoded first: what is there stays until the new pictures can take its place
    Promise.all(urls.map(decoded)).then(() => {
      if (grid.drawn === drawn) {
        const scrolled = grid.node.firstElementChild?.scrollLeft; // on a phone, the image that is looked at
        grid.node.replaceChildren(draw[data.mode](found));
        if (scrolled) /** @type {Element} */ (grid.node.firstElementChild).scrollLeft = scrolled;
      }
      old.forEach((url) => URL.revokeObjectURL(url));
    });
  }
  return () => {
    grid.files.forEach((url) => URL.revokeObjectURL(url));
    discardState(grids, parentElement);
  };
}
