// The tools above the maps and the help.

import { button, element } from "../common/elements.js";
import { letGo, setTool } from "./choice.js";
import { iconButton } from "./elements.js";
import { savePng, saveSvg } from "./pictures.js";

/** @import { EmbeddingMap } from "./types.js" */

const HELP = [
  ["Wheel, pinch, + and −", "zoom; where there is room for them, points become their images"],
  ["Drag; Shift with an arrow key", "move the map"],
  ["Double click, 0", "show the whole map"],
  ["Shift and drag; Lasso, then drag", "select images; with Ctrl they are added, with Alt taken away"],
  ["Click, or Enter", "open an image and its neighbours"],
  ["Arrow keys", "walk from image to image; on the slider of a changed image they change its strength"],
  ["Space", "select the image, or let it go"],
  ["C", "select all images of the same colour"],
  ["V", "select all images in view"],
  ["L", "lasso on or off"],
  ["N", "names of the classes on or off, where points are coloured by class"],
  ["/ or F", "find images: type, arrow down for what fits, Enter; Escape clears the search"],
  ["D", "points, outlines or density"],
  ["Escape, or a click on nothing", "clear the selection, then the search"],
  ["In the legend: click", "hide or show; double click or I shows one alone; Shift with a click or S selects it"],
];
const FILM_HELP = [
  ["P", "play or pause"],
  [", and .", "one frame back or on"],
];

/** @param {EmbeddingMap} map */
export function makeToolbar(map) {
  const bar = element("div", "toolbar");
  const tools = element("div", "pair");
  tools.setAttribute("role", "group");
  tools.setAttribute("aria-label", "What dragging does");
  map.toolButtons = {
    move: iconButton("move", "Move", "Dragging moves the map", () => setTool(map, "move")),
    lasso: iconButton("lasso", "Lasso", "Dragging selects images (Shift and drag always does)", () =>
      setTool(map, "lasso"),
    ),
  };
  tools.append(...Object.values(map.toolButtons));
  map.status = element("span", "status");
  map.clear = button("Clear", "Clear the selection", () => letGo(map));
  const ask = button("?", "Keys and gestures", () => showHelp(map, Boolean(map.help.hidden)), "ask");
  map.ask = ask;
  bar.append(
    tools,
    map.status,
    map.clear,
    iconButton("save", "PNG", "Save as a picture (PNG)", () => savePng(map), "save"),
    iconButton("save", "SVG", "Save as a drawing (SVG)", () => saveSvg(map), "save"),
    ask,
  );
  setTool(map, "move");
  return bar;
}

/** @param {EmbeddingMap} map @param {boolean} isShown */
export function showHelp(map, isShown) {
  const rows = map.numFrames > 1 ? [...HELP, ...FILM_HELP] : HELP;
  const list = element("dl");
  for (const [keys, does] of rows) list.append(element("dt", "", keys), element("dd", "", does));
  map.help.replaceChildren(
    element("h4", "", "Keys and gestures"),
    list,
    button("Close", "Close this help", () => {
      showHelp(map, false);
      map.ask.focus();
    }),
  );
  map.help.hidden = !isShown;
  map.ask.setAttribute("aria-expanded", String(isShown));
}
