// What something means, told by a click, a key or a touch: a title is shown to a mouse alone. Style: help.css.

import { element } from "./elements.js";

const HELP_GAP = 6; // pixels between the mark and what it tells

/**
 * A word that tells by itself what it means, where a mark beside it would take too much room.
 * @param {string} word @param {string} text
 */
export function helpWord(word, text) {
  const [mark, bubble] = helpMark(word, text);
  mark.classList.replace("help-mark", "help-word");
  mark.textContent = word;
  mark.removeAttribute("aria-label");
  return [mark, bubble];
}

/**
 * A mark and the text that it opens, to be put beside what they are about; the browser closes the text by itself.
 * @param {string} about @param {string} text
 * @returns {[HTMLButtonElement, HTMLElement]}
 */
export function helpMark(about, text) {
  const mark = element("button", "help-mark", "?");
  const bubble = element("div", "help-bubble");
  mark.type = "button";
  mark.setAttribute("aria-label", `What ${about} means`);
  mark.title = text;
  bubble.popover = "auto";
  bubble.setAttribute("role", "note");
  mark.popoverTargetElement = bubble;
  mark.addEventListener("click", (event) => event.stopPropagation()); // what lies below has clicks of its own
  // filled when it opens: what nobody sees is no part of the page's text
  bubble.addEventListener("beforetoggle", () => {
    bubble.textContent = text;
  });
  bubble.addEventListener("toggle", () => {
    if (!bubble.matches(":popover-open")) return;
    const place = mark.getBoundingClientRect();
    const left = Math.min(place.left, window.innerWidth - bubble.offsetWidth - HELP_GAP);
    const below = place.bottom + HELP_GAP + bubble.offsetHeight < window.innerHeight;
    bubble.style.left = `${Math.max(HELP_GAP, left)}px`;
    bubble.style.top = `${below ? place.bottom + HELP_GAP : Math.max(HELP_GAP, place.top - HELP_GAP - bubble.offsetHeight)}px`;
  });
  return [mark, bubble];
}
