// Hands folders that are dropped or chosen to a file uploader of the page as one archive, each file with its path.

import { element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";
import { packed } from "./packing.js";

/** @import { Component } from "../common/types.js" */
/** @import { Given, Drop, DropData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Drop>} */
const drops = new WeakMap();
const TOLD_EVERY = 50; // files

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

/** All files below dropped folders, and those dropped beside them. @param {FileSystemEntry[]} waiting */
async function filesBelow(waiting) {
  /** @type {Given[]} */
  const files = [];
  for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
    if (entry.isDirectory) {
      waiting.push(...(await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry))));
      continue;
    }
    const one = /** @type {FileSystemFileEntry} */ (entry);
    /** @type {File} */
    const file = await new Promise((resolve, reject) => one.file(resolve, reject));
    files.push({ path: one.fullPath.replace(/^\//, ""), file });
  }
  return files;
}

/** @param {Drop} drop @param {Given[]} given */
async function handOver(drop, given) {
  const { places, maxBytes, maxFiles } = drop.data;
  const files = given.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  const tops = new Set(files.map(({ path }) => path.split("/")[0]));
  const isOne = tops.size === 1 && files.every(({ path }) => path.includes("/"));
  const top = isOne ? [...tops][0] : "images";
  if (isOne) for (const each of files) each.path = each.path.slice(top.length + 1);
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  const input = document.querySelector(`.${places[1]} input[type=file]`);
  const text = drop.node;
  text.textContent = "";
  if (!files.length) text.textContent = "There is no file in it.";
  else if (size > maxBytes || files.length > maxFiles) {
    const [most, number] = [Math.floor(maxBytes / 2 ** 20), files.length.toLocaleString("en")];
    text.textContent =
      `It holds ${number} files of ${Math.ceil(size / 2 ** 20).toLocaleString("en")} MiB; up to ` +
      `${maxFiles.toLocaleString("en")} files of ${most} MiB can be uploaded. Of a folder on this machine, all is used.`;
  } else if (input instanceof HTMLInputElement) {
    const archive = await packed(files, (done) => {
      if (done % TOLD_EVERY === 0) text.textContent = `Packing: ${done} of ${files.length} files`;
    });
    text.textContent = "";
    const transfer = new DataTransfer();
    transfer.items.add(new File([archive], `${top}.zip`, { type: archive.type }));
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

/** @param {Drop} drop @param {Promise<Given[]>} files */
function take(drop, files) {
  files
    .then((given) => handOver(drop, given))
    .catch((error) => {
      drop.node.textContent = `The folder cannot be read: ${error.message}`;
    });
}

/** @param {Drop} drop @param {DragEvent} event */
function onDrop(drop, event) {
  const target = event.target instanceof Element ? event.target : null;
  if (!drop.data.places.some((place) => target?.closest(`.${place} section`))) return;
  const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (!entries.some((entry) => entry.isDirectory)) return;
  event.preventDefault();
  event.stopPropagation();
  // the uploader that it fell on is not told, and would go on to wait for it
  target?.dispatchEvent(new DragEvent("dragleave", { bubbles: true, dataTransfer: event.dataTransfer }));
  take(drop, filesBelow(entries));
}

/** @param {Drop} drop @param {Event} event */
function onChange(drop, event) {
  const input = event.target;
  if (!(input instanceof HTMLInputElement) || !input.closest(`.${drop.data.places[0]}`) || !input.files?.length) return;
  event.stopPropagation();
  const given = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  take(drop, Promise.resolve(given));
  input.value = ""; // so that the same folder can be chosen again
}

/** @param {Component<DropData>} component */
export default function folderDrop({ data, parentElement }) {
  const drop = stateIn(drops, parentElement, () => {
    const node = element("span");
    node.setAttribute("role", "status");
    /** @type {Drop} */
    const found = { node, data, onDrop: (event) => onDrop(found, event), onChange: (event) => onChange(found, event) };
    window.addEventListener("drop", found.onDrop, { capture: true });
    window.addEventListener("change", found.onChange, { capture: true });
    return found;
  });
  drop.data = data;
  return () => {
    window.removeEventListener("drop", drop.onDrop, { capture: true });
    window.removeEventListener("change", drop.onChange, { capture: true });
    discardState(drops, parentElement);
  };
}
