// One image changed step by step: it wanders on all maps with a trail, and its neighbours change. All strengths of all
// operations are here before the first is shown, so that sliding asks no server.

import { button, element } from "../common/elements.js";
import { isStill } from "../common/motion.js";
import { fitTile, SMOOTH_SIDE } from "../common/tiles.js";
import { drawDetails } from "./details.js";
import { redraw } from "./drawing.js";
import { closeSheet, drawFramed, OWN_DASH, openSheet, shownAt } from "./own_marks.js";
import { CHOICE_MS, report, ZOOM_MS } from "./report.js";
import { tugText } from "./tug_text.js";
import { view } from "./view.js";

/** @import { Details, EmbeddingMap, LoadedTug, Neighbor, Panel, Point, TugData, TugState } from "./types.js" */

const MOVED_SIDE = 34; // pixels of the image on the map
const TRAIL = { width: 2.5, all: 0.25, dot: 2.2 };

/** @returns {TugState} */
export const noTug = () => ({ isWanted: false, operation: "", place: 0, source: "", loaded: null, waiting: 0 });

/**
 * Takes in what the server has computed; what is on its way comes with the next call.
 * @param {EmbeddingMap} map
 */
export function takeTug(map) {
  const given = map.data.tug?.operations ? /** @type {TugData} */ (map.data.tug) : null;
  const names = given ? [given.sheet, ...given.panels.flatMap((each) => Object.values(each.arrays ?? {}))] : [];
  const source = given ? `${given.row} ${names.join(" ")}` : "";
  if (map.tug.source === source) return;
  const arrays = names.map((name) => window.simclrArrays?.get(name));
  if (arrays.some((each) => !each)) return;
  closeSheet(map.tug.loaded?.sheet);
  map.tug.source = source;
  map.tug.loaded = given && {
    given,
    sheet: openSheet(map, /** @type {Uint8Array<ArrayBuffer>} */ (arrays[0])),
    panels: given.panels.map(
      ({ arrays, exact = false, average = [] }) =>
        arrays && {
          exact,
          average,
          points: /** @type {Float32Array} */ (window.simclrArrays?.get(arrays.points)),
          moved: /** @type {Float32Array} */ (window.simclrArrays?.get(arrays.moved)),
          neighbors: /** @type {Int32Array} */ (window.simclrArrays?.get(arrays.neighbors)),
          similarities: /** @type {Float32Array} */ (window.simclrArrays?.get(arrays.similarities)),
        },
    ),
  };
  if (given?.row === -1 && map.tug.isWanted) bringIntoSight(map);
}

/**
 * An image that a user gave is asked for from below the maps, where nothing of what follows would be seen.
 * @param {EmbeddingMap} map
 */
function bringIntoSight(map) {
  if (map.holder.getBoundingClientRect().top >= 0) return;
  map.holder.scrollIntoView({ block: "start", behavior: isStill() ? "auto" : "smooth" });
}

/**
 * What is being pulled, where it is there and is what is open: an image of the maps, or (-1) one that a user gave.
 * @param {EmbeddingMap} map @returns {LoadedTug | null}
 */
export function activeTug(map) {
  const { isWanted, loaded } = map.tug;
  return isWanted && loaded && loaded.given.row === map.opened ? loaded : null;
}

/**
 * The chosen operation, its place among all, and where strength number `place` of it stands in arrays of all strengths.
 * @param {EmbeddingMap} map @param {LoadedTug} loaded
 */
export function chosenStrength(map, loaded) {
  const { operations } = loaded.given;
  const number = Math.max(
    0,
    operations.findIndex(({ name }) => name === map.tug.operation),
  );
  const operation = operations[number];
  const length = operation.texts.length;
  const place = Math.min(Math.max(0, map.tug.place), length - 1);
  return { operation, number, length, place, at: number * length + place };
}

/**
 * Neighbours of the changed image; null where nothing is changed.
 * @param {EmbeddingMap} map @returns {Details | null}
 */
export function tuggedDetails(map) {
  const loaded = activeTug(map);
  if (!loaded) return null;
  const { operation, place, length, at } = chosenStrength(map, loaded);
  if (map.opened >= 0 && place === operation.rest) return null;
  const { details } = map.data;
  const total = loaded.given.operations.length * length;
  const neighbors = loaded.panels.map((panel) => {
    if (!panel) return null;
    const { neighbors, similarities } = panel;
    const width = neighbors.length / total;
    return Array.from({ length: width }, (_, k) => {
      return /** @type {Neighbor} */ ([neighbors[at * width + k], similarities[at * width + k]]);
    });
  });
  return { index: map.opened, facts: details?.index === map.opened ? details.facts : [], neighbors };
}

/**
 * Shows the image as it is changed, as large as its element.
 * @param {HTMLElement} node @param {EmbeddingMap} map @param {LoadedTug} loaded @param {boolean} [isPlain] unchanged
 */
export function showChanged(node, map, loaded, isPlain) {
  const { operation, number, length, at } = chosenStrength(map, loaded);
  const place = isPlain ? number * length + operation.rest : at;
  node.classList.toggle("small", loaded.given.side < SMOOTH_SIDE);
  fitTile(node, loaded.sheet.url, place, length, loaded.given.operations.length);
}

// --- on the maps ---

/**
 * Changes with what is drawn; empty where there is nothing.
 * @param {EmbeddingMap} map
 */
export function tugStamp(map) {
  return activeTug(map) ? `${map.tug.source} ${map.tug.operation} ${map.tug.place}` : "";
}

/**
 * The way that the operation leads, from the untouched image to where it is now drawn strongly, and the image itself.
 * @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context
 */
export function drawTug(map, panel, context) {
  const loaded = activeTug(map);
  const found = loaded?.panels[map.panels.indexOf(panel)];
  if (!loaded || !found) return;
  const { operation, number, length, place } = chosenStrength(map, loaded);
  const frame = view(panel);
  /** @param {number} strength @returns {Point} */
  const point = (strength) => {
    const at = 2 * (number * length + strength);
    return [frame.x + found.points[at] * frame.scale, frame.y - found.points[at + 1] * frame.scale];
  };
  context.save();
  context.lineJoin = context.lineCap = "round";
  context.setLineDash(found.exact ? [] : OWN_DASH);
  const line = (/** @type {number} */ from, /** @type {number} */ to) => {
    context.beginPath();
    for (let strength = from; strength <= to; strength++) context.lineTo(...point(strength));
    context.lineWidth = TRAIL.width + 2.5;
    context.strokeStyle = map.theme.background;
    context.stroke();
    context.lineWidth = TRAIL.width;
    context.strokeStyle = map.theme.primary;
    context.stroke();
  };
  context.globalAlpha = TRAIL.all;
  line(0, length - 1);
  context.globalAlpha = 1;
  const [low, high] = [Math.min(operation.rest, place), Math.max(operation.rest, place)];
  if (low < high) line(low, high);
  context.fillStyle = map.theme.primary;
  for (let strength = low; strength <= high; strength++) {
    context.beginPath();
    context.arc(...point(strength), TRAIL.dot, 0, 2 * Math.PI);
    context.fill();
  }
  context.restore();
  const { bitmap } = loaded.sheet;
  if (!bitmap || (place === operation.rest && map.opened >= 0)) return;
  const { side } = loaded.given;
  const [x, y] = shownAt(panel, found.points, number * length + place, MOVED_SIDE);
  drawFramed(map, context, [x, y], MOVED_SIDE, found.exact, () => {
    const half = MOVED_SIDE / 2;
    context.imageSmoothingEnabled = side >= SMOOTH_SIDE;
    context.drawImage(bitmap, place * side, number * side, side, side, x - half, y - half, MOVED_SIDE, MOVED_SIDE);
  });
}

// --- the controls ---

/** @param {EmbeddingMap} map @param {boolean} isWanted */
function want(map, isWanted) {
  map.tug.isWanted = isWanted;
  if (!map.tug.operation) map.tug.operation = map.data.tug?.first ?? "";
  report(map, CHOICE_MS);
  changed(map);
  const next = map.tugNode.querySelector(isWanted ? "input" : ".offer button");
  if (next instanceof HTMLElement && !next.closest("[hidden]")) next.focus();
}

/**
 * Draws all that follows the slider, once in a frame.
 * @param {EmbeddingMap} map
 */
function changed(map) {
  if (map.tug.waiting) return;
  map.tug.waiting = requestAnimationFrame(() => {
    map.tug.waiting = 0;
    showTug(map);
    drawDetails(map);
    redraw(map);
  });
}

/** @param {EmbeddingMap} map */
export function makeTug(map) {
  map.tugNode = element("section", "tug");
  map.tugNode.hidden = true;
  map.tugNode.setAttribute("aria-label", "The image, changed");
  const offer = element("div", "offer");
  offer.append(
    button("Tug this image", undefined, () => want(map, true), "go"),
    element("span", "sub", "Change its colours, crop or turn it, and see where it goes on both maps."),
  );
  const said = element("p", "sub said");
  const body = element("div", "pull");
  const operations = element("div", "operations");
  operations.setAttribute("role", "group");
  operations.setAttribute("aria-label", "What changes the image");
  const head = element("div", "head");
  head.append(
    operations,
    button("Close", "Leave the image as it is", () => want(map, false), "close"),
  );
  const row = element("div", "strength");
  const slider = element("input");
  slider.type = "range";
  slider.min = "0";
  slider.setAttribute("aria-label", "Strength");
  slider.oninput = () => {
    map.tug.place = Number(slider.value);
    report(map, ZOOM_MS); // for the address; what is shown is all here
    changed(map);
  };
  row.append(element("div", "tile before"), slider, element("output"), element("div", "tile after"));
  body.append(head, row, element("div", "figures"));
  map.tugNode.append(offer, said, body);
  map.tugHow = element("p", "tug-how");
  return [map.tugNode, map.tugHow];
}

/** @param {EmbeddingMap} map */
export function showTug(map) {
  const { tug } = map.data;
  const node = map.tugNode;
  const loaded = activeTug(map);
  const isGuest = map.opened < 0 && map.tug.loaded?.given.row === -1;
  node.hidden = !tug || !(map.opened >= 0 || (map.tug.isWanted && isGuest));
  map.tugHow.hidden = !loaded;
  if (node.hidden) return;
  const [offer, said, body] = /** @type {HTMLElement[]} */ ([...node.children]);
  offer.hidden = map.tug.isWanted;
  body.hidden = !loaded;
  said.hidden = Boolean(loaded) || !map.tug.isWanted;
  said.textContent = tug?.problem || "Showing the image to the encoders, changed in all ways …";
  said.classList.toggle("problem", Boolean(tug?.problem));
  node.classList.toggle("pulling", Boolean(loaded)); // it stays in sight while the maps are looked at
  if (loaded) showStrength(map, loaded, body);
}

/** @param {EmbeddingMap} map @param {LoadedTug} loaded @param {HTMLElement} body */
function showStrength(map, loaded, body) {
  const { operation, number, length, place, at } = chosenStrength(map, loaded);
  map.tug.operation = operation.name;
  const buttons = /** @type {HTMLElement} */ (body.querySelector(".operations"));
  if (buttons.childElementCount !== loaded.given.operations.length) {
    buttons.replaceChildren(
      ...loaded.given.operations.map(({ name, label, rest }) => {
        const choose = () => {
          Object.assign(map.tug, { operation: name, place: rest });
          report(map, CHOICE_MS);
          changed(map);
        };
        return button(label, undefined, choose);
      }),
    );
  }
  [...buttons.children].forEach((each, i) => each.setAttribute("aria-pressed", String(i === number)));
  const slider = /** @type {HTMLInputElement} */ (body.querySelector("input"));
  slider.max = String(length - 1);
  slider.value = String(place);
  const text = operation.texts[place];
  const figures = loaded.panels.map((panel) => panel?.moved[at]);
  const titles = map.data.panels.map(({ title }) => title);
  slider.setAttribute("aria-valuetext", tugText(`${operation.label} ${text}`, titles, figures));
  /** @type {HTMLElement} */ (body.querySelector("output")).textContent = text;
  showChanged(/** @type {HTMLElement} */ (body.querySelector(".before")), map, loaded, true);
  showChanged(/** @type {HTMLElement} */ (body.querySelector(".after")), map, loaded);
  /** @type {HTMLElement} */ (body.querySelector(".figures")).replaceChildren(
    ...loaded.panels.map((panel, i) => {
      const figure = element("div", "figure");
      const words = element("div");
      figure.append(words);
      words.append(element("div", "title", titles[i]));
      if (!panel) {
        words.append(element("div", "", loaded.given.panels[i].missing));
        return figure;
      }
      words.append(
        element("div", "", "of the median distance of two images"),
        element(
          "div",
          "sub",
          `${loaded.given.sample} images on average at ${operation.texts[operation.mark]}: ${panel.average[number].toFixed(2)}`,
        ),
      );
      figure.prepend(element("b", "", panel.moved[at].toFixed(2)));
      return figure;
    }),
  );
  map.tugHow.textContent = loaded.given.how;
}
