// The legend hides, isolates and selects groups, and counts them.

import { button, element } from "../common/elements.js";
import { cssColor } from "../common/theme.js";
import { chooseWhere, updateLegend } from "./choice.js";
import { dotOf } from "./details.js";
import { redraw, refreshLevels } from "./drawing.js";
import { isScale, say, scaleColor, valueText } from "./elements.js";
import { hasNames, keepWhetherNamesAreWanted } from "./names.js";
import { CHOICE_MS, report } from "./report.js";

/** @import { EmbeddingMap } from "./types.js" */

/** @param {EmbeddingMap} map */
export function drawLegend(map) {
  const { color } = map.data;
  map.legend.replaceChildren();
  map.legendItems = [];
  if (!color.label) return;
  const head = element("span", "head");
  head.append(element("span", "what", color.label));
  if (hasNames(map)) head.append(namesChoice(map));
  map.legend.append(head);
  if (isScale(color)) {
    const bar = element("div", "bar");
    const line = element("i");
    const stops = Array.from({ length: 13 }, (_, i) => cssColor(scaleColor(color.kind, i / 12, map.theme.dark)));
    line.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const [low, high] = [color.low, color.high].map((value) => element("span", "", valueText(color, value)));
    bar.append(low, line, high);
    map.legend.append(bar);
    return;
  }
  const change = (/** @type {() => void} */ what) => () => {
    what();
    setFocus(map, null);
    updateLegend(map);
    report(map, CHOICE_MS);
  };
  color.names.forEach((name, group) => {
    const item = button(undefined, undefined, (event) => (event.shiftKey ? select() : toggle()));
    const number = element("span", "number");
    item.append(dotOf(map, color.colors[group]), element("span", "", name), number);
    item.title = `Click hides or shows ${name}, double click shows it alone, Shift with a click selects it`;
    const toggle = change(() => (map.hidden.has(group) ? map.hidden.delete(group) : map.hidden.add(group)));
    const isolate = change(() => {
      map.hidden = new Set(color.names.keys());
      map.hidden.delete(group);
    });
    const select = () => chooseWhere(map, (i) => map.panels.some((panel) => panel.groups[i] === group), "new");
    item.ondblclick = isolate;
    item.onkeydown = (event) => {
      if (event.key.toLowerCase() === "i") isolate();
      else if (event.key.toLowerCase() === "s") select();
      else return;
      event.stopPropagation();
    };
    item.onpointerenter = (event) => event.pointerType === "touch" || setFocus(map, group);
    item.onpointerleave = () => setFocus(map, null);
    map.legend.append(item);
    map.legendItems.push({ item, number });
  });
  const all = change(() => map.hidden.clear());
  map.showAll = button("Show all", "", all, "plain");
  map.legend.append(map.showAll);
  updateLegend(map);
}

/** @param {EmbeddingMap} map */
function namesChoice(map) {
  const choice = element("label", "names-choice");
  choice.title = "A name stands where its class is densest. A class that lies all over a map has none. Key N.";
  map.namesBox = element("input");
  map.namesBox.type = "checkbox";
  map.namesBox.checked = map.areNamesWanted;
  map.namesBox.onchange = () => wantNames(map, map.namesBox.checked);
  choice.append(map.namesBox, element("span", "", "Names on the map"));
  return choice;
}

/** @param {EmbeddingMap} map @param {boolean} areWanted */
export function wantNames(map, areWanted) {
  map.areNamesWanted = map.namesBox.checked = areWanted;
  keepWhetherNamesAreWanted(areWanted);
  for (const panel of map.panels) panel.stale = true;
  redraw(map);
  say(map, areWanted ? "Class names are on the map" : "Class names are off the map");
}

/**
 * Pointing at a legend entry greys all others.
 * @param {EmbeddingMap} map @param {number | null} group
 */
function setFocus(map, group) {
  map.focus = group !== null && map.hidden.has(group) ? null : group;
  refreshLevels(map);
}
