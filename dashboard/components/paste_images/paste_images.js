// Hands pasted images to a file uploader of the page.

import { element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @typedef {{ node: HTMLElement, uploader: string, onPaste(event: ClipboardEvent): void }} Paste */

/** @type {WeakMap<HTMLElement, Paste>} */
const pastes = new WeakMap();

/**
 * Whether a paste belongs to what has the focus.
 * @param {EventTarget | null} target
 */
function isText(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("textarea, input:not([type=range], [type=file], [type=checkbox])");
}

/** @param {ClipboardEvent} event @param {string} uploader */
function take(event, uploader) {
  const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
  const input = document.querySelector(`.${uploader} input[type=file]`);
  if (!files.length || isText(event.target) || !(input instanceof HTMLInputElement)) return;
  event.preventDefault();
  const given = new DataTransfer();
  for (const file of files) given.items.add(file);
  input.files = given.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** @param {Component<{ uploader: string }>} component */
export default function pasteImages({ data, parentElement }) {
  const paste = stateIn(pastes, parentElement, () => {
    /** @type {Paste} */
    const found = { node: element("span"), uploader: data.uploader, onPaste: (event) => take(event, found.uploader) };
    window.addEventListener("paste", found.onPaste);
    return found;
  });
  paste.uploader = data.uploader;
  return () => {
    window.removeEventListener("paste", paste.onPaste);
    discardState(pastes, parentElement);
  };
}
