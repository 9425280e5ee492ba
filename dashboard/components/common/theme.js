// The page's colours, and colours as numbers.

/** @import { Rgb, Theme } from "./types.js" */

const TEXT_CONTRAST = 4.5; // WCAG 2, level AA

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
 * How bright a colour is to the eye, 0..1, as WCAG 2 defines it.
 * @param {Rgb} color
 */
function relativeLuminance(color) {
  const [red, green, blue] = color.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/**
 * The contrast of two colours, 1..21, as WCAG 2 defines it.
 * @param {Rgb} one @param {Rgb} other
 */
export function contrastRatio(one, other) {
  const [dark, light] = [relativeLuminance(one), relativeLuminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/**
 * A colour for text: darkened, or lightened on a dark page, as far as it needs to be read there.
 * @param {Rgb} color @param {Rgb} background @returns {Rgb}
 */
export function readable(color, background) {
  /** @type {Rgb} */
  const end = luminance(background) < 128 ? [255, 255, 255] : [0, 0, 0];
  for (let share = 0; share < 1; share += 0.05) {
    const mixed = colorAt([color, end], share);
    if (contrastRatio(mixed, background) >= TEXT_CONTRAST) return mixed;
  }
  return end;
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
