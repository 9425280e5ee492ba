// Keeps typed arrays where other components find them: window.simclrArrays, a Map from name to array.

import { ARRAY_TYPES } from "../common/bytes.js";

const held = new Map(); // mounted element -> the names it brought
const ALIGNMENT = 8;

export function unpack(data) {
  const found = new Map();
  // a copy, since the message may lie at any place in memory
  const memory = data.slice().buffer;
  const length = new DataView(memory).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(memory, ALIGNMENT, length)));
  let place = ALIGNMENT + length;
  for (const [name, size] of header) {
    const Type = ARRAY_TYPES[name.slice(0, 2)];
    found.set(name, new Type(memory, place, size / Type.BYTES_PER_ELEMENT));
    place += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  }
  return found;
}

function forget(names) {
  const needed = new Set([...held.values()].flat());
  names.filter((name) => !needed.has(name)).forEach((name) => window.simclrArrays.delete(name));
}

export default function keepArrays({ data, parentElement }) {
  window.simclrArrays ??= new Map();
  const found = unpack(data);
  const old = held.get(parentElement) ?? [];
  held.set(parentElement, [...found.keys()]);
  found.forEach((array, name) => window.simclrArrays.set(name, array));
  forget(old);
  window.dispatchEvent(new Event("simclr-arrays"));
  return () => {
    const names = held.get(parentElement) ?? [];
    held.delete(parentElement);
    forget(names);
  };
}
