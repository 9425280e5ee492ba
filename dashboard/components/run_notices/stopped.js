// What is said while the server does not answer. Streamlit's own dialog speaks of its script, and of a command that
// starts nothing here: its form and its going away by itself are kept, its words are hidden behind others.

import { element } from "../common/elements.js";

const OF_STREAMLIT = /Streamlit still running|Streamlit server is not responding/;
const TITLE = "The dashboard's server does not answer";
const WORDS = [
  "Runs that are going on are not touched: each is a process of its own.",
  "Once the server is started again (make run, or simclr dashboard), this page goes on where it was. If it runs on another machine, look at the connection.",
];
const EVERY_MS = 500;
let isWatching = false;

function sayInOwnWords() {
  for (const dialog of document.querySelectorAll('[role="dialog"]')) {
    const title = dialog.querySelector("h2");
    const body = title?.nextElementSibling;
    if (!title || !body || !OF_STREAMLIT.test(body.textContent ?? "") || body.querySelector(".own-words")) continue;
    title.textContent = TITLE;
    for (const part of body.children) if (part instanceof HTMLElement) part.hidden = true;
    body.append(...WORDS.map((words) => element("p", "own-words", words)));
  }
}

/** Looks for the dialog as long as the page is open. */
export function watchServer() {
  if (isWatching) return;
  isWatching = true;
  setInterval(sayInOwnWords, EVERY_MS);
}
