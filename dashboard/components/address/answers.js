// Whether the server heard that the browser went to another entry of its history. A press on Back while the connection
// is down for a moment never reaches it, and the page would stay as it is, under the address of another.

import { openAddress } from "../common/leaving.js";

const PATIENCE = [2000, 4000, 8000]; // milliseconds until it is told again, each time

/** @type {WeakSet<Window>} */
const watched = new WeakSet();
let waiting = 0;
let told = 0; // how often this entry was told again
let isOurs = false;

/** The page that the server shows is that of the browser's address. */
export function heard() {
  clearTimeout(waiting);
}

function isRunning() {
  return document.querySelector("[data-testid=stApp]")?.getAttribute("data-test-script-state") === "running";
}

function wait() {
  clearTimeout(waiting);
  const { href } = window.location;
  waiting = setTimeout(() => {
    if (window.location.href !== href) return;
    if (isRunning()) {
      wait();
      return;
    }
    told += 1;
    isOurs = true;
    openAddress(href);
    isOurs = false;
    if (told < PATIENCE.length) wait();
  }, PATIENCE[told]);
}

/** Waits for an answer from now on, whenever another entry is opened. @param {Window} of */
export function expectAnswer(of) {
  if (watched.has(of)) return;
  watched.add(of);
  of.addEventListener("popstate", () => {
    if (isOurs) return;
    told = 0;
    wait();
  });
}
