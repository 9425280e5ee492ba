// Images that can be clicked, cut from sheets by the browser. Every text is set with textContent.

import { button, element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";
import { SMOOTH_SIDE, setTile } from "../common/tiles.js";

/** @import { Component } from "../common/types.js" */
/** @import { ImageGrid, ImageGridData, Item } from "./types.js" */

/** @type {WeakMap<HTMLElement, ImageGrid>} */
const grids = new WeakMap();
const SCROLL_MS = 500; // the neighbours of the clicked image appear elsewhere on the page, a moment later

/** @param {ImageGridData} data @param {Item} item */
function tileOf({ tile, sheets, side }, { row, id }) {
  const node = element("span", tile.side < SMOOTH_SIDE ? "tile small" : "tile");
  setTile(node, sheets[Math.floor(row / tile.per_sheet)], row % tile.per_sheet, tile.columns, side);
  if (!sheets.length) {
    node.classList.add("none"); // its photographs are not here: its number stands for it
    node.textContent = `image ${id}`;
  }
  return node;
}

/** @param {ImageGrid} grid @param {Item} item */
function show(grid, item) {
  grid.component.setTriggerValue("clicked", item.id);
  setTimeout(
    () =>
      document
        .querySelector(".emap .details, .st-key-embedding-open")
        ?.scrollIntoView({ block: "nearest", behavior: "smooth" }),
    SCROLL_MS,
  );
}

/** @param {ImageGrid} grid @param {Item} item */
function buttonOf(grid, item) {
  const className = `${item.open ? "open" : ""} ${item.mark ? "mark" : ""}`;
  const node = button(undefined, `${item.name}: show its neighbours`, () => show(grid, item), className);
  node.style.width = `${grid.component.data.side}px`;
  node.append(tileOf(grid.component.data, item));
  if (item.caption) {
    const caption = element("span", "caption");
    if (item.color) {
      const dot = element("span", "dot");
      dot.style.background = item.color;
      caption.append(dot);
    }
    caption.append(element("span", "", item.caption));
    node.append(caption);
  }
  return node;
}

/** @param {Component<ImageGridData>} component */
export default function imageGrid(component) {
  const { parentElement, data } = component;
  const grid = stateIn(grids, parentElement, () => /** @type {ImageGrid} */ ({ node: element("div", "image-grid") }));
  grid.component = component;
  const stamp = JSON.stringify(data);
  if (stamp !== grid.stamp) {
    grid.stamp = stamp;
    grid.node.style.maxHeight = data.height ? `${data.height}px` : "";
    grid.node.replaceChildren(...data.items.map((item) => buttonOf(grid, item)));
  }
  return () => discardState(grids, parentElement);
}
