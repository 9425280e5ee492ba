// The names of the classes on a map. They are drawn on the canvas of the points: elements above it would have to be put
// together with it anew in each frame, which costs as much as all points. The legend says them to who listens to the page.

import { contextOf, element } from "../common/elements.js";
import { isStill } from "../common/motion.js";
import { cssColor, readable, rgb } from "../common/theme.js";
import { groupColor } from "./elements.js";
import { findModes, modeAt } from "./modes.js";
import { placeNames } from "./placing.js";
import { look, view } from "./view.js";

/** @import { EmbeddingMap, Modes, Panel, PlacedName } from "./types.js" */

export const NAME_SIZE = 13; // pixels
export const NAME_WEIGHT = 650;
export const HALO_WIDTH = 1.75; // pixels of the page's background around each name
const LINE_HEIGHT = 17;
const MOST_WIDTH = 150;
const GREYED = 0.45; // opacity of a name of which no image is lit
const PART_A_FRAME = 0.25; // of the way of a name that is moved aside, comes or goes
const KEPT = "simclr-map-names"; // in the browser: whether names are wanted

/** Whether the user wants names on maps. */
export function areNamesWanted() {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true; // a page that may keep nothing
  }
}

/** @param {boolean} areWanted */
export function keepWhetherNamesAreWanted(areWanted) {
  try {
    localStorage.setItem(KEPT, areWanted ? "on" : "off");
  } catch {
    // then it holds for this page alone
  }
}

/**
 * Only a colouring by class names what images are; of a prediction, say, a place says nothing.
 * @param {EmbeddingMap} map
 */
export function hasNames(map) {
  return map.data.color.kind === "class" && Boolean(map.data.color.label);
}

/** @param {EmbeddingMap} map */
function nameFont(map) {
  return `${NAME_WEIGHT} ${NAME_SIZE}px ${map.theme.font}`;
}

/**
 * A name as the page shows it: the colour of its class, as far as that can be read.
 * @param {EmbeddingMap} map @param {number} group
 */
export function nameColor(map, group) {
  return cssColor(readable(groupColor(map, map.data.color.colors[group]), rgb(map.theme.background)));
}

/**
 * Words that take no more than MOST_WIDTH, and how many pixels they take.
 * @param {CanvasRenderingContext2D} context @param {string} words
 */
function fitted(context, words) {
  let width = context.measureText(words).width;
  for (let length = words.length; width > MOST_WIDTH && length > 1; ) {
    length = Math.min(length - 1, Math.floor((length * MOST_WIDTH) / width));
    words = `${words.slice(0, length).trimEnd()}…`;
    width = context.measureText(words).width;
  }
  return { words, width: width + 2 * HALO_WIDTH };
}

/**
 * Finds the modes of a panel's classes, after every change of points and colours. Names that stay do not come in anew: a
 * race brings a frame every few seconds.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
function prepareNames(map, panel) {
  const { names } = map.data.color;
  const context = contextOf(element("canvas"));
  context.font = nameFont(map);
  panel.modes = findModes(panel.frames ?? panel.points, panel.groups, names.length, panel.box);
  const before = new Map(panel.names.map((state) => [state.name, state]));
  panel.names = names.map((name, group) => ({
    ...(before.get(name) ?? { name, isNew: true, dx: 0, dy: 0, on: 0 }),
    ...fitted(context, name),
    color: nameColor(map, group),
  }));
}

/**
 * The names of a panel that are seen, in pixels of it, as they are on their way: `isMoving` while one still slides or
 * fades to where there is room for it.
 * @param {EmbeddingMap} map @param {Panel} panel
 */
export function placedNames(map, panel) {
  const { opacity } = look(map, panel);
  const nothing = { isMoving: false, placed: /** @type {PlacedName[]} */ ([]) };
  if (!hasNames(map) || !map.areNamesWanted || opacity === 1) return nothing;
  if (!panel.modes) prepareNames(map, panel);
  const modes = /** @type {Modes} */ (panel.modes);
  const frame = view(panel);
  const found = [...panel.names.keys()]
    .map((group) => {
      const { x, y, seen } = modeAt(modes, group, panel.frames ? map.frame : 0);
      const at = { x: frame.x + x * frame.scale, y: frame.y - y * frame.scale };
      const most = map.hidden.has(group) ? 0 : seen * (1 - opacity) * (panel.lit[group] ? 1 : GREYED);
      return { group, ...at, width: panel.names[group].width, height: LINE_HEIGHT, most };
    })
    .filter(({ most }) => most > 0)
    .sort((one, other) => modes.density[other.group] - modes.density[one.group]);
  const note = panel.note.textContent ? [rectangleOf(panel.note)] : [];
  const moves = placeNames(found, frame.width, frame.height, modes.radius * frame.scale, note);
  const jumps = isStill();
  let isMoving = false;
  const placed = found.flatMap(({ most, ...name }, place) => {
    const state = panel.names[name.group];
    const move = moves[place];
    const goal = move ? { dx: move[0], dy: move[1], on: 1 } : { dx: state.dx, dy: state.dy, on: 0 };
    if (!state.on) [state.dx, state.dy] = [goal.dx, goal.dy];
    const away = Math.max(Math.abs(goal.dx - state.dx), Math.abs(goal.dy - state.dy));
    if (jumps || state.isNew || (away < 0.5 && Math.abs(goal.on - state.on) < 0.05)) {
      Object.assign(state, goal, { isNew: false });
    } else {
      isMoving = true;
      state.dx += (goal.dx - state.dx) * PART_A_FRAME;
      state.dy += (goal.dy - state.dy) * PART_A_FRAME;
      state.on += (goal.on - state.on) * PART_A_FRAME;
    }
    const { words, color, dx, dy, on } = state;
    return on ? [{ ...name, words, color, x: name.x + dx, y: name.y + dy, seen: on * most }] : [];
  });
  return { isMoving, placed };
}

/** @param {HTMLElement} node */
function rectangleOf(node) {
  return { left: node.offsetLeft, top: node.offsetTop, width: node.offsetWidth, height: node.offsetHeight };
}

/**
 * Draws the names of a panel on a canvas in pixels of the page; true while they are on their way.
 * @param {EmbeddingMap} map @param {Panel} panel @param {CanvasRenderingContext2D} context
 */
export function drawNames(map, panel, context) {
  const { isMoving, placed } = placedNames(map, panel);
  if (!placed.length) return isMoving;
  context.save();
  context.font = nameFont(map);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 2 * HALO_WIDTH;
  context.strokeStyle = map.theme.background;
  for (const { words, color, x, y, seen } of placed) {
    context.globalAlpha = seen;
    context.strokeText(words, x, y);
    context.fillStyle = color;
    context.fillText(words, x, y);
  }
  context.restore();
  return isMoving;
}
