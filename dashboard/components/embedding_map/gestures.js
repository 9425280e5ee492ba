// Mouse, fingers and keys.

import { chooseWhere, chooseWith, letGo, setTool } from "./choice.js";
import { open } from "./details.js";
import { redraw } from "./drawing.js";
import { imageName, isScale, say } from "./elements.js";
import { pause, playOrPause, stepFrame } from "./film.js";
import { clearSearch, nextDrawing } from "./finder.js";
import { insideLasso, search } from "./geometry.js";
import { hover } from "./hover.js";
import { wantNames } from "./legend.js";
import { moveTo, showAll, ZOOM_STEP, zoomAt } from "./moving.js";
import { hasNames } from "./names.js";
import { showHelp } from "./toolbar.js";
import { gridOf, HIDDEN, nearest, onMap, position, view } from "./view.js";

/** @import { EmbeddingMap, Mode, Panel, Point } from "./types.js" */

const POINTER_REACH = 12; // pixels
const FINGER_REACH = 24;
const LASSO_STEP = 2; // pixels between its corners

/** @param {EmbeddingMap} map @param {PointerEvent} event @returns {Mode} */
function lassoMode(map, event) {
  if (event.altKey) return "remove";
  return event.ctrlKey || event.metaKey || (event.shiftKey && map.tool === "lasso") ? "add" : "new";
}

/** @param {EmbeddingMap} map @param {Panel} panel */
export function listen(map, panel) {
  const { canvas, pointers } = panel;
  /** @param {MouseEvent} event @returns {Point} */
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const stopLasso = () => {
    panel.lasso = null;
    redraw(map);
  };
  // On a busy computer several movements come as one event; a lasso that left them out would cut corners.
  /** @param {PointerEvent} event */
  const drawLasso = (event) => {
    const { lasso } = panel;
    if (!lasso) return;
    const frame = view(panel);
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const at = place(each);
      if (Math.hypot(at[0] - lasso.last[0], at[1] - lasso.last[1]) < LASSO_STEP) continue;
      lasso.last = at;
      lasso.corners.push(onMap(frame, ...at));
    }
    redraw(map);
  };
  const turn = (/** @type {WheelEvent} */ event) => {
    if (panel.zoom === 1 && event.deltaY > 0) return; // nothing left to zoom out of: the page scrolls
    event.preventDefault();
    zoomAt(map, panel, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0018)), ...place(event));
  };
  canvas.addEventListener("wheel", turn, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const at = place(event);
    pointers.set(event.pointerId, { at, start: at, moved: pointers.size > 0 });
    if (pointers.size > 1) {
      for (const pointer of pointers.values()) pointer.moved = true; // a pinch is no click
      stopLasso();
    } else if (map.tool === "lasso" || event.shiftKey) {
      pause(map);
      hover(map, -1);
      panel.lasso = { corners: [onMap(view(panel), ...at)], last: at, mode: lassoMode(map, event) };
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const pointer = pointers.get(event.pointerId);
    if (!pointer) {
      if (event.pointerType !== "touch" && !map.playing)
        hover(map, nearest(map, panel, x, y, POINTER_REACH), panel, x, y);
      return;
    }
    const [oldX, oldY] = pointer.at;
    pointer.at = [x, y];
    if (Math.hypot(x - pointer.start[0], y - pointer.start[1]) > 5) pointer.moved = true;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1] ?? pointer;
      const before = Math.hypot(oldX - other.at[0], oldY - other.at[1]);
      const after = Math.hypot(x - other.at[0], y - other.at[1]);
      if (before > 0) zoomAt(map, panel, after / before, (x + other.at[0]) / 2, (y + other.at[1]) / 2);
    } else if (panel.lasso) {
      drawLasso(event);
    } else if (pointer.moved) {
      const { scale } = view(panel);
      canvas.classList.add("dragging");
      moveTo(map, panel, panel.zoom, panel.center.x - (x - oldX) / scale, panel.center.y + (y - oldY) / scale);
    }
  });
  const release = (/** @type {PointerEvent} */ event) => {
    const pointer = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    canvas.classList.remove("dragging");
    const { lasso } = panel;
    if (lasso) stopLasso();
    if (!pointer || event.type === "pointercancel") return;
    if (lasso && pointer.moved) {
      const inside = insideLasso(panel.points, lasso.corners);
      const found = inside.map((is, i) => is & Number(panel.levels[i] !== HIDDEN));
      chooseWith(map, found, lasso.mode);
    } else if (!pointer.moved) {
      const isFinger = event.pointerType === "touch";
      const found = nearest(map, panel, ...place(event), isFinger ? FINGER_REACH : POINTER_REACH);
      if (isFinger) hover(map, -1);
      if (found >= 0) open(map, found);
      else letGo(map);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => map.byKeyboard || hover(map, -1));
  canvas.addEventListener("dblclick", () => map.tool === "lasso" || showAll(map, panel));
  canvas.addEventListener("blur", () => map.byKeyboard && hover(map, -1));
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !press(map, panel, event, stopLasso)) return;
    event.preventDefault();
    event.stopPropagation(); // Streamlit has keys of its own
  });
}

// --- keyboard ---

/** @type {Record<string, Point>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** @param {EmbeddingMap} map */
export function leave(map) {
  if (!map.help.hidden) showHelp(map, false);
  else if (map.numChosen || map.opened >= 0 || !clearSearch(map)) letGo(map);
}

/**
 * True if the key means something here.
 * @param {EmbeddingMap} map @param {Panel} panel @param {KeyboardEvent} event @param {() => void} stopLasso
 */
function press(map, panel, event, stopLasso) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const at = map.hovered >= 0 ? map.hovered : map.opened;
  if (key in DIRECTIONS) {
    const [right, up] = DIRECTIONS[key];
    const { scale, width } = view(panel);
    const step = width / 8 / scale;
    if (event.shiftKey) moveTo(map, panel, panel.zoom, panel.center.x + right * step, panel.center.y + up * step);
    else walk(map, panel, at, right, up);
  } else if (key === "Enter" && at >= 0) open(map, at);
  else if (key === " " && at >= 0) chooseWhere(map, (i) => (i === at) !== Boolean(map.chosen[i]), "new");
  else if (key === "c" && at >= 0) chooseGroup(map, panel, at);
  else if (key === "v") chooseVisible(map, panel);
  else if (key === "n" && hasNames(map)) wantNames(map, !map.areNamesWanted);
  else if (key === "d") nextDrawing(map);
  else if (key === "/" || key === "f") map.finder.input.focus();
  else if (key === "l") setTool(map, map.tool === "lasso" ? "move" : "lasso");
  else if (key === "+" || key === "=") zoomAt(map, panel, ZOOM_STEP);
  else if (key === "-") zoomAt(map, panel, 1 / ZOOM_STEP);
  else if (key === "0") showAll(map, panel);
  else if (key === "?") showHelp(map, Boolean(map.help.hidden));
  else if (key === "Escape") {
    if (panel.lasso) stopLasso();
    else leave(map);
  } else if (map.numFrames > 1 && key === "p") playOrPause(map);
  else if (map.numFrames > 1 && (key === "," || key === ".")) stepFrame(map, key === "." ? 1 : -1);
  else return false;
  return true;
}

/**
 * The arrow keys go from an image to the nearest one that lies in that direction.
 * @param {EmbeddingMap} map @param {Panel} panel @param {number} from @param {number} right @param {number} up
 */
function walk(map, panel, from, right, up) {
  const { points, levels } = panel;
  let found;
  if (from < 0) {
    const frame = view(panel);
    found = nearest(map, panel, frame.width / 2, frame.height / 2, Infinity);
  } else {
    const x = points[2 * from];
    const y = points[2 * from + 1];
    found = search(gridOf(panel), x, y, Infinity, (i) => {
      if (i === from || levels[i] === HIDDEN) return Infinity;
      const dx = points[2 * i] - x;
      const dy = points[2 * i + 1] - y;
      const along = dx * right + dy * up;
      const aside = Math.abs(dx * up) + Math.abs(dy * right);
      return along <= 0 || aside > along ? Infinity : along + 2 * aside;
    });
  }
  if (found < 0) return;
  let frame = view(panel);
  let [x, y] = position(panel, frame, found);
  if (x < 0 || y < 0 || x > frame.width || y > frame.height) {
    moveTo(map, panel, panel.zoom, points[2 * found], points[2 * found + 1]);
    frame = view(panel);
    [x, y] = position(panel, frame, found);
  }
  hover(map, found, panel, x, y);
  map.byKeyboard = true;
  say(map, `${imageName(map, found)}, image ${map.ids[found]}`);
}

/** @param {EmbeddingMap} map @param {Panel} panel @param {number} index */
function chooseGroup(map, panel, index) {
  const group = panel.groups[index];
  const same = isScale(map.data.color) || group < 0 ? map.labels : panel.groups;
  chooseWhere(map, (i) => panel.levels[i] !== HIDDEN && same[i] === same[index], "new");
}

/** @param {EmbeddingMap} map @param {Panel} panel */
function chooseVisible(map, panel) {
  const frame = view(panel);
  chooseWhere(
    map,
    (i) => {
      const [x, y] = position(panel, frame, i);
      return panel.levels[i] !== HIDDEN && x >= 0 && y >= 0 && x <= frame.width && y <= frame.height;
    },
    "new",
  );
}
