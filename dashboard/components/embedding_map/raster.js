// Discs drawn by setting pixels. Measured in Chromium on two cores without a graphics card, 100,000 points, frames a
// second: this 53, canvas arcs 4, images 1, rectangles 5, WebGL 2 in software 7. It looks the same everywhere (remote
// desktops and servers have no card) and is fast enough with one, so that there is one way of drawing.

/** @import { Rgb } from "../common/types.js" */
/** @import { Numbers, Place, Surface } from "./types.js" */

const SUBPIXELS = 4; // places of a disc's middle inside a pixel, in each direction

/**
 * As ImageData holds it: red, green, blue, opacity, read as one little-endian number.
 * @param {Rgb} color
 */
export function packColor([red, green, blue]) {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

/** @param {number} width @param {number} height @param {number} margin @returns {Surface} */
export function makeSurface(width, height, margin) {
  const image = new ImageData(width + 2 * margin, height + 2 * margin);
  return { image, pixels: new Uint32Array(image.data.buffer), width: image.width, height: image.height, margin };
}

/**
 * Where a disc covers pixels and how much of each (0..256), for each place of its middle inside a pixel.
 * @param {number} radius @param {number} opacity @param {number} rowLength
 */
function stencils(radius, opacity, rowLength) {
  const reach = Math.ceil(radius + 1);
  const found = [];
  for (let place = 0; place < SUBPIXELS * SUBPIXELS; place++) {
    const middleX = ((place % SUBPIXELS) + 0.5) / SUBPIXELS;
    const middleY = (Math.floor(place / SUBPIXELS) + 0.5) / SUBPIXELS;
    const offsets = [];
    const shares = [];
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        const cover = Math.min(1, radius + 0.5 - Math.hypot(x + 0.5 - middleX, y + 0.5 - middleY));
        if (cover < 0.03) continue;
        offsets.push(y * rowLength + x);
        shares.push(Math.round(256 * cover * opacity));
      }
    }
    found.push([Int32Array.from(offsets), Uint16Array.from(shares)]);
  }
  return { found, reach };
}

/**
 * Draws the points whose `levels` is `level`, in the order given, each in its colour.
 *   frame: scale and x, y, of the point (0, 0), in pixels of the picture.
 * @param {Surface} surface @param {Numbers} points @param {Uint32Array} order @param {Uint32Array} colors
 * @param {Uint8Array} levels @param {number} level @param {Place} frame @param {number} radius
 * @param {number} opacity
 */
export function drawDiscs(surface, points, order, colors, levels, level, frame, radius, opacity) {
  const { pixels, width, height, margin } = surface;
  const { found, reach } = stencils(radius, opacity, width);
  const right = width - reach;
  const bottom = height - reach;
  for (let k = 0; k < order.length; k++) {
    const i = order[k];
    if (levels[i] !== level) continue;
    const x = frame.x + points[2 * i] * frame.scale + margin;
    const y = frame.y - points[2 * i + 1] * frame.scale + margin;
    if (!(x >= reach && y >= reach && x < right && y < bottom)) continue;
    const column = Math.floor(x);
    const row = Math.floor(y);
    const [offsets, shares] =
      found[Math.floor((y - row) * SUBPIXELS) * SUBPIXELS + Math.floor((x - column) * SUBPIXELS)];
    const color = colors[i];
    const redBlue = color & 0xff00ff;
    const green = color & 0xff00;
    const start = row * width + column;
    for (let j = 0; j < offsets.length; j++) {
      const place = start + offsets[j];
      const share = shares[j];
      const below = pixels[place];
      const belowRedBlue = below & 0xff00ff;
      const belowGreen = below & 0xff00;
      // red and blue at once, a byte apart; carries fall into the gap and are cut off
      pixels[place] =
        0xff000000 |
        ((belowRedBlue + (Math.imul(redBlue - belowRedBlue, share) >>> 8)) & 0xff00ff) |
        ((belowGreen + (Math.imul(green - belowGreen, share) >>> 8)) & 0xff00);
    }
  }
}
