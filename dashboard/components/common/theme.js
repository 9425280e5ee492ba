// The page's colours, and colours as numbers.

/** @import { Rgb, Theme } from "./types.js" */

/** @param {string} color @returns {Rgb} */
export function rgb(color) {
  const number = parseInt(color.slice(1, 7), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** @param {Rgb} color */
export function cssColor([red, green, blue]) {
  return `rgb(${red}, ${green}, ${blue})`;
}

/** @param {string} color @param {number} alpha */
export function withAlpha(color, alpha) {
  return /^#[0-9a-f]{6}$/i.test(color) ? `rgba(${rgb(color).join(", ")}, ${alpha})` : color;
}

/** @param {Rgb} color */
export function luminance([red, green, blue]) {
  return 0.3 * red + 0.59 * green + 0.11 * blue;
}

/**
 * The colour at a share 0..1 of the way along evenly spaced `stops`.
 * @param {Rgb[]} stops @param {number} share @returns {Rgb}
 */
export function colorAt(stops, share) {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const from = Math.min(stops.length - 2, Math.floor(place));
  const part = place - from;
  const mixed = stops[from].map((value, channel) => Math.round(value + (stops[from + 1][channel] - value) * part));
  return /** @type {Rgb} */ (mixed);
}

/**
 * The colours that Streamlit, or a page of its own, gives to everything below it.
 * @param {HTMLElement} node @returns {Theme}
 */
export function theme(node) {
  const style = getComputedStyle(node);
  const value = (/** @type {string} */ name, /** @type {string} */ fallback) =>
    style.getPropertyValue(name).trim() || fallback;
  const background = value("--st-background-color", "#ffffff");
  return {
    background,
    text: value("--st-text-color", "#1a2130"),
    border: value("--st-border-color", "#e0e5ee"),
    primary: value("--st-primary-color", "#3f5be0"),
    font: style.fontFamily,
    dark: luminance(rgb(background)) < 128,
  };
}
