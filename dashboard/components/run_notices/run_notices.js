// The system's notice when a run ends while nobody looks at this page. The browser asks its user before the first.

import { button } from "../common/elements.js";
import { openAddress } from "../common/leaving.js";
import { watchServer } from "./stopped.js";

/** @import { Component } from "../common/types.js" */
/** @import { Ended, NoticesData } from "./types.js" */

const KEPT = "simclr-notices";
const told = new Set();

/** Addresses without HTTPS, other than this machine's, have no notices. */
function isOffered() {
  return "Notification" in window && window.isSecureContext && Notification.permission !== "denied";
}

function isOn() {
  return isOffered() && Notification.permission === "granted" && localStorage.getItem(KEPT) === "on";
}

/** @param {HTMLButtonElement} node */
async function toggle(node) {
  const wanted = !isOn();
  if (wanted && Notification.permission !== "granted") await Notification.requestPermission();
  localStorage.setItem(KEPT, wanted ? "on" : "off");
  node.hidden = !isOffered();
  node.setAttribute("aria-pressed", String(isOn()));
}

/** @param {Ended} run */
function tell({ id, title, text, href }) {
  const notice = new Notification(title, { body: text, tag: id }); // that of another tab has the same tag: it is shown once
  notice.onclick = () => {
    window.focus();
    openAddress(href);
    notice.close();
  };
}

/** @param {Component<NoticesData>} component */
export default function runNotices({ parentElement, data }) {
  watchServer();
  for (const run of data.ended) {
    const name = `${run.id} ${run.at}`;
    if (told.has(name)) continue;
    told.add(name);
    if (isOn() && !document.hasFocus()) tell(run);
  }
  let node = /** @type {HTMLButtonElement | null} */ (parentElement.querySelector(".run-notices"));
  if (!node) {
    const made = button("Notify me when a run ends", undefined, () => toggle(made), "run-notices");
    parentElement.append(made);
    node = made;
  }
  node.hidden = !data.is_active || !isOffered();
  node.setAttribute("aria-pressed", String(isOn()));
}
