// The same images after every few epochs, one frame each.

import { button, element } from "../common/elements.js";
import { isStill } from "../common/motion.js";
import { redraw } from "./drawing.js";
import { icon } from "./elements.js";
import { hover } from "./hover.js";
import { FRAME_MS, report } from "./report.js";

/** @import { EmbeddingMap } from "./types.js" */

const FRAMES_PER_SECOND = 10;
const GLIDE_MS = 300; // a frame of a training is on the screen within a second of its epoch

/**
 * Places the points at a frame; between two frames for a broken number.
 * @param {EmbeddingMap} map @param {number} frame
 */
export function setFrame(map, frame) {
  map.frame = Math.min(Math.max(0, frame), Math.max(0, map.numFrames - 1));
  const first = Math.floor(map.frame);
  const part = map.frame - first;
  const length = 2 * map.count;
  for (const panel of map.panels) {
    if (!panel.frames) continue;
    const from = panel.frames.subarray(first * length, (first + 1) * length);
    panel.points = from;
    if (part > 0) {
      const to = panel.frames.subarray((first + 1) * length, (first + 2) * length);
      panel.between ??= new Float32Array(length);
      panel.points = panel.between;
      for (let i = 0; i < length; i++) panel.between[i] = from[i] + (to[i] - from[i]) * part;
    }
    panel.grid = null;
    panel.stale = true;
  }
  const shown = Math.round(map.frame);
  const name = map.data.frame_names?.[shown] ?? `${shown + 1}`;
  map.slider.value = String(shown);
  map.slider.setAttribute("aria-valuetext", name);
  map.frameName.textContent = name;
  const detail = { key: map.data.key, frame: map.frame, name };
  window.dispatchEvent(new CustomEvent("simclr-frame", { detail }));
  redraw(map);
}

/** @param {EmbeddingMap} map @param {number} by */
export function stepFrame(map, by) {
  pause(map);
  setFrame(map, Math.round(map.frame) + by);
  report(map, FRAME_MS);
}

/** @param {EmbeddingMap} map */
export function showPlaying(map) {
  map.play.replaceChildren(icon(map.playing ? "pause" : "play"));
  map.play.title = map.playing ? "Pause" : "Play";
  map.play.setAttribute("aria-label", map.play.title);
}

/**
 * Moves to a frame that has just come, unless motion is not wanted.
 * @param {EmbeddingMap} map @param {number} target
 */
export function glide(map, target) {
  if (isStill()) return setFrame(map, target);
  const from = map.frame;
  /** @type {number | undefined} */
  let start;
  const next = (/** @type {number} */ now) => {
    start ??= now;
    const share = Math.min(1, (now - start) / GLIDE_MS);
    map.gliding = share < 1 ? requestAnimationFrame(next) : 0;
    setFrame(map, from + (target - from) * share * share * (3 - 2 * share));
  };
  map.gliding = requestAnimationFrame(next);
}

/** @param {EmbeddingMap} map */
function endGlide(map) {
  if (!map.gliding) return;
  cancelAnimationFrame(map.gliding);
  map.gliding = 0;
  setFrame(map, Math.ceil(map.frame));
}

/** @param {EmbeddingMap} map */
export function playOrPause(map) {
  if (map.playing) return pause(map);
  hover(map, -1);
  const from = map.frame >= map.numFrames - 1 ? 0 : map.frame;
  const jumps = isStill();
  /** @type {number | undefined} */
  let start;
  const next = (/** @type {number} */ now) => {
    start ??= now;
    const frame = from + ((now - start) / 1000) * (map.data.plays || FRAMES_PER_SECOND);
    if (frame >= map.numFrames - 1) {
      setFrame(map, map.numFrames - 1);
      return pause(map);
    }
    map.playing = requestAnimationFrame(next);
    if (!jumps || Math.floor(frame) !== map.frame) setFrame(map, jumps ? Math.floor(frame) : frame);
  };
  map.playing = requestAnimationFrame(next);
  showPlaying(map);
}

/** @param {EmbeddingMap} map */
export function pause(map) {
  endGlide(map);
  if (!map.playing) return;
  cancelAnimationFrame(map.playing);
  map.playing = 0;
  setFrame(map, Math.round(map.frame));
  showPlaying(map);
  report(map, FRAME_MS);
}

/** @param {EmbeddingMap} map */
export function makeFilm(map) {
  const film = element("div", "film");
  map.play = button(undefined, "Play", () => playOrPause(map), "round");
  map.frameLabel = element("span", "what");
  map.slider = element("input");
  map.slider.type = "range";
  map.slider.min = "0";
  map.slider.oninput = () => {
    pause(map);
    setFrame(map, Number(map.slider.value));
    report(map, FRAME_MS);
  };
  map.frameName = element("output");
  film.append(map.play, map.frameLabel, map.slider, map.frameName);
  return film;
}
