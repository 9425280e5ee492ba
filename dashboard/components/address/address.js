// Writes what a page shows into the address, in place: no entry is added to the browser's history.

import { openAddress } from "../common/leaving.js";
import { expectAnswer, heard } from "./answers.js";

/** @import { Component } from "../common/types.js" */
/** @import { AddressData, Leaving } from "./types.js" */

const OWN = /^embed(_options)?$/i; // Streamlit's own parameters stay
const last = { visit: "", order: 0, corrected: "" }; // corrected: the visit whose server was told an older address
const left = new Set();

/** @param {string} query in an order of its own, so that two can be compared */
function ordered(query) {
  const own = [...new URLSearchParams(query)].filter(([name, value]) => value && !OWN.test(name));
  const found = new URLSearchParams(own);
  found.sort();
  return found.toString();
}

/** @param {AddressData} data */
function isShown(data) {
  const name = window.location.pathname.split("/").at(-1) ?? ""; // "" at the root, whatever a prefix is called
  return (data.pages.includes(name) ? name : "") === data.page;
}

/** @param {AddressData} data */
function write(data) {
  expectAnswer(window);
  if (!isShown(data)) return; // another page was opened meanwhile
  const { location, history } = window;
  const { state } = history;
  if (data.visit !== last.visit) {
    if (data.is_first) last.order = 0; // another server, which counts anew
    const asked = ordered(data.asked);
    const isOwn = asked === ordered(location.search) || (!data.is_first && asked === state?.asked);
    if (!isOwn) {
      // Of a page that was left again; or of another server, which was told an older address than this. What that one
      // still shows of the older address, until it has heard of this, is not written over it.
      if (data.is_first && last.corrected !== data.visit) {
        last.corrected = data.visit;
        openAddress(location.href);
      }
      return;
    }
  } else if (state?.visit !== data.visit) {
    return; // Back was pressed
  }
  heard();
  if (data.order <= last.order) return;
  last.visit = data.visit;
  last.order = data.order;
  const asked = state?.asked ?? ordered(location.search); // what this entry said when it was opened
  const own = [...new URLSearchParams(location.search)].filter(([name]) => OWN.test(name));
  const query = [data.query, new URLSearchParams(own).toString()].filter(Boolean).join("&");
  const address = `${location.pathname}${query ? `?${query}` : ""}${location.hash}`;
  history.replaceState({ ...state, visit: data.visit, asked }, "", address);
}

/** @param {Component<AddressData | Leaving>} component */
export default function address({ data }) {
  if ("query" in data) {
    write(data);
  } else if (!left.has(data.token)) {
    left.add(data.token);
    openAddress(data.href, data.instead);
  }
}
