// The sheets of thumbnails as pictures that a canvas can draw from. A sheet is read when an image on it is first needed.

import { fromDataAddress } from "../common/bytes.js";

/** @import { EmbeddingMap } from "./types.js" */

// All sheets fit into so much memory: those of very many images are kept smaller than they are.
const MOST_BYTES = 256e6;
const LEAST_TILE = 8; // pixels

/**
 * The largest side of a tile at which `count` of them take no more than MOST_BYTES.
 * @param {number} side @param {number} count
 */
export function keptSide(side, count) {
  return Math.max(LEAST_TILE, Math.min(side, Math.floor(Math.sqrt(MOST_BYTES / 4 / Math.max(1, count)))));
}

/**
 * Where an image lies on its sheet; null while the sheet is on its way, and where sheet or image is missing.
 * @param {EmbeddingMap} map @param {number} index
 */
export function tileOf(map, index) {
  const { columns, per_sheet: perSheet } = map.data.tile;
  const bitmap = map.bitmaps.get(map.data.sheets[Math.floor(index / perSheet)]);
  if (!(bitmap instanceof ImageBitmap)) return null;
  const place = index % perSheet;
  const side = bitmap.width / columns;
  const x = (place % columns) * side;
  const y = Math.floor(place / columns) * side;
  return y + side <= bitmap.height + 0.5 ? { bitmap, x, y, side } : null;
}

/**
 * Asks for the sheets of some rows that are not there yet; calls `ready` when one has come.
 * @param {EmbeddingMap} map @param {number[]} rows @param {() => void} ready
 */
export function wantSheets(map, rows, ready) {
  const { sheets, tile } = map.data;
  for (const number of new Set(rows.map((index) => Math.floor(index / tile.per_sheet)))) {
    if (sheets[number] && !map.bitmaps.has(sheets[number])) map.bitmaps.set(sheets[number], "wanted");
  }
  if (!map.isReading) readSheets(map, ready);
}

/**
 * Reads what is wanted, one after the other: each sheet takes much memory while it is read.
 * @param {EmbeddingMap} map @param {() => void} ready
 */
async function readSheets(map, ready) {
  map.isReading = true;
  const next = () => [...map.bitmaps].find(([, bitmap]) => bitmap === "wanted")?.[0];
  for (let address = next(); address; address = next()) {
    const bitmap = await readSheet(map, address).catch(() => /** @type {const} */ ("missing")); // dots stay
    if (map.bitmaps.has(address)) {
      map.bitmaps.set(address, bitmap);
      ready();
    } else if (bitmap !== "missing") {
      bitmap.close(); // forgotten meanwhile
    }
  }
  map.isReading = false;
}

/** @param {EmbeddingMap} map @param {string} address */
async function readSheet(map, address) {
  const { side, columns } = map.data.tile;
  const blob = address.startsWith("data:") ? fromDataAddress(address) : await fetched(address);
  const kept = keptSide(side, map.count);
  if (kept === side) return createImageBitmap(blob);
  return createImageBitmap(blob, { resizeWidth: columns * kept, resizeQuality: "medium" });
}

/** @param {string} address */
async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.blob();
}

/**
 * Lets go of the sheets that are not among `kept`, and tries those again that could not be read.
 * @param {EmbeddingMap} map @param {string[]} kept
 */
export function forgetSheets(map, kept) {
  for (const [address, bitmap] of map.bitmaps) {
    if (kept.includes(address) && bitmap !== "missing") continue;
    if (bitmap instanceof ImageBitmap) bitmap.close();
    map.bitmaps.delete(address);
  }
}
