// Whether the user wants things to move.

/** Whether motion is not wanted. */
export function isStill() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}
