// What is said while the server does not answer: Streamlit's own dialog speaks of its script and of a command that
// starts nothing here. Its words are replaced, its form and its going away by itself are kept.

const OF_STREAMLIT = /Streamlit still running|Streamlit server is not responding/;
const TITLE = "The dashboard's server does not answer";
const WORDS = [
  "Runs that are going on are not touched: each is a process of its own.",
  "Start the server again (`make run`, or `simclr dashboard`) and this page goes on where it was. If it runs on another machine, look at the connection.",
];
const EVERY_MS = 500;
let isWatching = false;

/** @param {Document} page */
export function sayInOwnWords(page) {
  for (const dialog of page.querySelectorAll('[role="dialog"]')) {
    if (!OF_STREAMLIT.test(dialog.textContent ?? "")) continue;
    const texts = [...dialog.querySelectorAll("p, pre, h1, h2, h3, [data-testid='stMarkdownContainer'], header, div")].filter(
      (node) => !node.children.length && node.textContent?.trim() && !node.closest("button"),
    );
    const said = [TITLE, ...WORDS];
    texts.forEach((node, place) => {
      node.textContent = said[place] ?? "";
    });
  }
}

export function watchServer() {
  if (isWatching) return;
  isWatching = true;
  setInterval(() => sayInOwnWords(document), EVERY_MS);
}
