// Where names stand on the screen so that none covers another.

/** @import { NameBox, Point, Rectangle } from "./types.js" */

const LINES = [0, -1, 1, -2, 2]; // up or down, in heights of the name
const NAME_EDGE = 4; // pixels that stay free at the sides of the map
const NAME_GAP = 2; // and between two names

/** @param {Rectangle} one @param {Rectangle} other */
export function overlap(one, other) {
  return (
    one.left < other.left + other.width + NAME_GAP &&
    other.left < one.left + one.width + NAME_GAP &&
    one.top < other.top + other.height + NAME_GAP &&
    other.top < one.top + one.height + NAME_GAP
  );
}

/**
 * For each name how far it is moved, or null where it is left out. The first come first: each takes the place nearest to
 * its own, at most `reach` above or below it, that is still free.
 * @param {NameBox[]} names their middles and sizes @param {number} width of the map @param {number} height
 * @param {number} reach @param {Rectangle[]} [taken] @returns {(Point | null)[]}
 */
export function placeNames(names, width, height, reach, taken = []) {
  const used = [...taken];
  return names.map((name) => {
    if (name.x < 0 || name.y < 0 || name.x > width || name.y > height) return null;
    const left = Math.min(Math.max(NAME_EDGE, name.x - name.width / 2), width - NAME_EDGE - name.width);
    for (const line of LINES) {
      const away = line * (name.height + NAME_GAP);
      if (Math.abs(away) > reach) continue;
      const top = Math.min(Math.max(NAME_EDGE, name.y + away - name.height / 2), height - NAME_EDGE - name.height);
      const box = { left, top, width: name.width, height: name.height };
      if (left < 0 || used.some((other) => overlap(box, other))) continue;
      used.push(box);
      return [left + name.width / 2 - name.x, top + name.height / 2 - name.y];
    }
    return null;
  });
}
