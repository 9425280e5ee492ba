// Keeps typed arrays where other components find them: window.simclrArrays, a Map from name to array.

import { arrayType } from "../common/bytes.js";

/** @import { Component, TypedArray } from "../common/types.js" */

/** @type {Map<HTMLElement, string[]>} the names that a mounted element brought */
const held = new Map();
const ALIGNMENT = 8;

/** @param {Uint8Array} data */
export function unpack(data) {
  /** @type {Map<string, TypedArray>} */
  const found = new Map();
  // a copy, since the message may lie at any place in memory
  const memory = data.slice().buffer;
  const length = new DataView(memory).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(memory, ALIGNMENT, length)));
  let place = ALIGNMENT + length;
  for (const [name, size] of header) {
    const Type = arrayType(name);
    found.set(name, new Type(memory, place, size / Type.BYTES_PER_ELEMENT));
    place += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  }
  return found;
}

/** @param {string[]} names */
function forget(names) {
  const needed = new Set([...held.values()].flat());
  names.filter((name) => !needed.has(name)).forEach((name) => window.simclrArrays?.delete(name));
}

/** @param {Component<Uint8Array>} component */
export default function keepArrays({ data, parentElement }) {
  window.simclrArrays ??= new Map();
  const found = unpack(data);
  const old = held.get(parentElement) ?? [];
  held.set(parentElement, [...found.keys()]);
  found.forEach((array, name) => window.simclrArrays?.set(name, array));
  forget(old);
  window.dispatchEvent(new Event("simclr-arrays"));
  return () => {
    const names = held.get(parentElement) ?? [];
    held.delete(parentElement);
    forget(names);
  };
}
