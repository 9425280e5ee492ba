// Selecting images.

import { open } from "./details.js";
import { refreshLevels } from "./drawing.js";
import { count, say } from "./elements.js";
import { showFound } from "./finder.js";
import { hover } from "./hover.js";
import { CHOICE_MS, report } from "./report.js";

/** @import { Choice, EmbeddingMap, Mode, Tool } from "./types.js" */

/** @param {EmbeddingMap} map */
export function summary(map) {
  if (!map.numChosen) return `${count(map.count)} images`;
  const numbers = new Map();
  map.chosen.forEach((is, i) => {
    const label = map.labels[i];
    if (is && map.data.classes[label]) numbers.set(label, (numbers.get(label) ?? 0) + 1);
  });
  const most = [...numbers].sort((a, b) => b[1] - a[1]).slice(0, 3);
  const words = most.map(([label, number]) => `${count(number)} of ${map.data.classes[label].name}`);
  const rest = numbers.size - most.length;
  if (rest > 0) words.push(`${rest} more ${rest === 1 ? "class" : "classes"}`);
  const text = `${count(map.numChosen)} of ${count(map.count)} images selected`;
  return words.length ? `${text}: ${words.join(", ")}` : text;
}

/**
 * Takes a new choice of images (1 for each chosen row) in the place of the old one; both panels follow.
 * @param {EmbeddingMap} map @param {Choice} chosen
 */
export function choose(map, chosen) {
  map.chosen = chosen;
  map.numChosen = chosen.reduce((sum, is) => sum + is, 0);
  refreshLevels(map);
  showChoice(map);
  report(map, CHOICE_MS);
  say(map, map.numChosen ? summary(map) : "No image selected");
}

/**
 * As `choose`, with what is chosen already: `mode` is new, add or remove.
 * @param {EmbeddingMap} map @param {Choice} found @param {Mode} mode
 */
export function chooseWith(map, found, mode) {
  if (mode !== "new") found = found.map((is, i) => (mode === "add" ? is | map.chosen[i] : map.chosen[i] & ~is & 1));
  choose(map, found);
}

/** @param {EmbeddingMap} map @param {(index: number) => boolean} isChosen @param {Mode} mode */
export function chooseWhere(map, isChosen, mode) {
  chooseWith(
    map,
    Uint8Array.from({ length: map.count }, (_, i) => (isChosen(i) ? 1 : 0)),
    mode,
  );
}

/** @param {EmbeddingMap} map */
export function showChoice(map) {
  map.status.textContent = map.numChosen ? `${count(map.numChosen)} selected` : summary(map);
  map.status.title = summary(map);
  map.clear.hidden = !map.numChosen;
  map.node.classList.toggle("has-chosen", map.numChosen > 0);
  showFound(map);
  updateLegend(map);
}

/** @param {EmbeddingMap} map */
export function letGo(map) {
  hover(map, -1);
  open(map, -1);
  if (map.numChosen) choose(map, new Uint8Array(map.count));
}

/** @param {EmbeddingMap} map @param {Tool} tool */
export function setTool(map, tool) {
  map.tool = tool;
  for (const [name, each] of Object.entries(map.toolButtons)) each.setAttribute("aria-pressed", String(name === tool));
  map.node.classList.toggle("lasso", tool === "lasso");
}

/**
 * Counts and pressed states; the buttons stay the same nodes, since a double click must find the one it began on.
 * @param {EmbeddingMap} map
 */
export function updateLegend(map) {
  if (!map.legendItems.length) return;
  const sums = map.panels.map(({ groups }) => {
    const all = new Uint32Array(map.legendItems.length);
    const chosen = new Uint32Array(map.legendItems.length);
    for (let i = 0; i < map.count; i++) {
      if (groups[i] < 0) continue;
      all[groups[i]]++;
      chosen[groups[i]] += map.chosen[i];
    }
    return { all, chosen };
  });
  map.legendItems.forEach(({ item, number }, group) => {
    const texts = sums.map(({ all, chosen }) =>
      map.numChosen ? `${count(chosen[group])} of ${count(all[group])}` : count(all[group]),
    );
    number.textContent = texts.every((text) => text === texts[0]) ? texts[0] : texts.join(" | ");
    item.setAttribute("aria-pressed", String(!map.hidden.has(group)));
  });
  map.showAll.hidden = !map.hidden.size;
}
