// One tile of a sheet of images, as the background of an element.

export const SMOOTH_SIDE = 96; // pixels; smaller tiles are enlarged without smoothing

/**
 * A tile of `side` pixels; `place` counts along the rows of the sheet.
 * @param {HTMLElement} node @param {string | undefined} url @param {number} place @param {number} columns
 * @param {number} side
 */
export function setTile(node, url, place, columns, side) {
  node.style.width = node.style.height = `${side}px`;
  node.style.backgroundImage = url ? `url("${url}")` : "none";
  node.style.backgroundSize = `${columns * side}px auto`;
  node.style.backgroundPosition = `-${(place % columns) * side}px -${Math.floor(place / columns) * side}px`;
}

/**
 * A tile as large as its element, whatever that is.
 * @param {HTMLElement} node @param {string | undefined} url @param {number} place @param {number} columns
 * @param {number} rows
 */
export function fitTile(node, url, place, columns, rows) {
  const share = (/** @type {number} */ at, /** @type {number} */ count) => (count > 1 ? (at / (count - 1)) * 100 : 0);
  node.style.backgroundImage = url ? `url("${url}")` : "none";
  node.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  node.style.backgroundPosition = `${share(place % columns, columns)}% ${share(Math.floor(place / columns), rows)}%`;
}
