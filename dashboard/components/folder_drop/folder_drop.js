// Hands dropped folders to a file uploader of the page, each file with its path: as if they had been chosen.

import { element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @typedef {{ node: HTMLElement, places: string[], onDrop(event: DragEvent): void }} Drop */

/** @type {WeakMap<HTMLElement, Drop>} */
const drops = new WeakMap();

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return found;
    found.push(...some);
  }
}

/** All files below dropped folders; hidden ones are left out. @param {FileSystemEntry[]} waiting */
async function filesBelow(waiting) {
  const files = [];
  for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory) {
      waiting.push(...(await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry))));
      continue;
    }
    const one = /** @type {FileSystemFileEntry} */ (entry);
    /** @type {File} */
    const file = await new Promise((resolve, reject) => one.file(resolve, reject));
    Object.defineProperty(file, "webkitRelativePath", { value: one.fullPath.replace(/^\//, "") });
    files.push(file);
  }
  return files;
}

/** @param {DragEvent} event @param {string[]} places */
function take(event, places) {
  const target = event.target instanceof Element ? event.target : null;
  if (!places.some((place) => target?.closest(`.${place} section`))) return;
  const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const input = document.querySelector(`.${places[0]} input[type=file]`);
  if (!entries.some((entry) => entry.isDirectory) || !(input instanceof HTMLInputElement)) return;
  event.preventDefault();
  event.stopPropagation();
  // the uploader that it fell on is not told, and would go on to wait for it
  target?.dispatchEvent(new DragEvent("dragleave", { bubbles: true, dataTransfer: event.dataTransfer }));
  filesBelow(entries).then((files) => {
    if (!files.length) return;
    const given = new DataTransfer();
    for (const file of files) given.items.add(file);
    input.files = given.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

/** @param {Component<{ places: string[] }>} component */
export default function folderDrop({ data, parentElement }) {
  const drop = stateIn(drops, parentElement, () => {
    /** @type {Drop} */
    const found = { node: element("span"), places: data.places, onDrop: (event) => take(event, found.places) };
    window.addEventListener("drop", found.onDrop, { capture: true });
    return found;
  });
  drop.places = data.places;
  return () => {
    window.removeEventListener("drop", drop.onDrop, { capture: true });
    discardState(drops, parentElement);
  };
}
