// Numbers that travel as bytes or as text.

const ARRAY_TYPES = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

/**
 * The kind of an array by its name, which begins with the type as numpy writes it.
 * @param {string} name
 */
export function arrayType(name) {
  return ARRAY_TYPES[/** @type {keyof typeof ARRAY_TYPES} */ (name.slice(0, 2))];
}

/**
 * The alphabet of addresses, without the signs that fill up.
 * @param {Uint8Array} bytes
 */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/**
 * Either alphabet.
 * @param {string} text
 */
export function fromBase64(text) {
  const raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i); // many times quicker than Uint8Array.from
  return bytes;
}

/**
 * What a `data:` address holds.
 * @param {string} address
 */
export function fromDataAddress(address) {
  const type = address.slice(5, address.indexOf(";"));
  return new Blob([fromBase64(address.slice(address.indexOf(",") + 1))], { type });
}
