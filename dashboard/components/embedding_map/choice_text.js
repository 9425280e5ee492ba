// A choice of rows as text: bits ("b"), or gaps between rows in groups of seven bits ("d"), the shorter one.

import { fromBase64, toBase64 } from "../common/bytes.js";

/** @import { Choice } from "./types.js" */

/** @param {Choice} chosen */
export function choiceText(chosen) {
  const bits = new Uint8Array(Math.ceil(chosen.length / 8));
  const gaps = [];
  let last = -1;
  for (let i = 0; i < chosen.length; i++) {
    if (!chosen[i]) continue;
    bits[i >> 3] |= 1 << (i & 7);
    if (gaps.length <= bits.length) {
      let gap = i - last - 1;
      for (; gap > 127; gap >>= 7) gaps.push((gap & 127) | 128);
      gaps.push(gap);
    }
    last = i;
  }
  if (last < 0) return "";
  return gaps.length < bits.length ? `d${toBase64(Uint8Array.from(gaps))}` : `b${toBase64(bits)}`;
}

/** @param {string} text @param {number} count */
export function choiceFrom(text, count) {
  const chosen = new Uint8Array(count);
  let bytes;
  try {
    bytes = fromBase64(text.slice(1));
  } catch {
    return chosen; // a damaged address chooses nothing
  }
  if (text[0] === "b") {
    for (let i = 0; i < count; i++) chosen[i] = ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1;
  } else if (text[0] === "d") {
    let row = -1;
    let gap = 0;
    let shift = 0;
    for (const byte of bytes) {
      gap += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte & 128) continue;
      row += gap + 1;
      if (row < count) chosen[row] = 1;
      gap = shift = 0;
    }
  }
  return chosen;
}
