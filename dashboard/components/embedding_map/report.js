// What the server is told.

import { choiceText } from "./choice_text.js";
import { tugAddress } from "./tug_text.js";

/** @import { EmbeddingMap } from "./types.js" */

export const CHOICE_MS = 80; // how long to wait for more before the server is told
export const FRAME_MS = 300;
export const ZOOM_MS = 1000;

/** @param {EmbeddingMap} map @param {number} delay */
export function report(map, delay) {
  if (map.quiet) return;
  map.delay = Math.min(map.delay ?? Infinity, delay);
  clearTimeout(map.timer);
  map.timer = setTimeout(() => {
    map.delay = undefined;
    map.component.setStateValue("view", {
      token: map.token,
      images: map.data.images,
      image: map.opened < 0 ? -1 : map.ids[map.opened],
      selection: choiceText(map.chosen),
      frame: Math.round(map.frame),
      follows: Boolean(map.gliding) || Math.round(map.frame) >= map.numFrames - 1,
      hidden: [...map.hidden],
      search: map.finder.text,
      drawing: map.drawing,
      tug: map.tug.isWanted ? tugAddress(map.tug.operation, map.tug.place) : "",
      zoom: map.panels.map(({ zoom, center }) =>
        [zoom, center.x, center.y].map((value) => Number(value.toPrecision(5))),
      ),
    });
  }, map.delay);
}
