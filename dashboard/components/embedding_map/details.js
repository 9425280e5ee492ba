// The image that is open, and its neighbours in each model.

import { button, element } from "../common/elements.js";
import { cssColor } from "../common/theme.js";
import { detailsOf, redraw } from "./drawing.js";
import { className, groupColor, imageName, say, showImage } from "./elements.js";
import { CHOICE_MS, report } from "./report.js";
import { activeTug, showChanged, showTug } from "./tug.js";

/** @import { EmbeddingMap, Neighbor } from "./types.js" */

/** @param {EmbeddingMap} map @param {string} color */
export function dotOf(map, color) {
  const dot = element("span", "dot");
  dot.style.background = dot.style.borderColor = cssColor(groupColor(map, color));
  return dot;
}

/** @param {EmbeddingMap} map */
export function drawDetails(map) {
  const index = map.opened;
  const tug = activeTug(map);
  map.details.hidden = index < 0 && !tug;
  map.hint.hidden = !map.details.hidden;
  if (map.details.hidden) return;
  const { data } = map;
  const details = detailsOf(map);
  const about = element("div", "about");
  const tile = element("div", "tile");
  if (tug) showChanged(tile, map, tug);
  else showImage(tile, map, index);
  const what = element("div", "what");
  const name = element("div", "name");
  const own = className(map, index);
  if (own) name.append(dotOf(map, data.classes[map.labels[index]].color));
  name.append(element("span", "", tug && index < 0 ? tug.given.name : imageName(map, index)));
  const names = element("div", "names");
  const where = index < 0 ? "Your image" : `Image ${map.ids[index]} of the ${data.split} images`;
  names.append(name, element("div", "sub", where));
  what.append(names);
  const facts = element("dl", "facts");
  for (const [label, value] of details?.facts ?? []) {
    const fact = element("div");
    fact.append(element("dt", "", label), element("dd", "", value));
    facts.append(fact);
  }
  what.append(facts);
  about.append(tile, what);
  if (index >= 0) about.append(button("Close", "Choose no image", () => open(map, -1), "close"));
  const parts = data.panels.map((panel, place) => {
    const near = element("div", "near");
    near.append(element("h4", "", `Nearest in ${panel.title}`));
    const found = details?.neighbors[place];
    if (found === null) {
      near.append(element("div", "sub", "Not known of a changed image: there is no encoder here."));
      return near;
    }
    if (!found) {
      near.append(element("div", "sub", "Looking for them …"));
      near.classList.add("waiting");
      return near;
    }
    const same = found.filter(([other]) => map.labels[other] === map.labels[index]).length;
    const others = (details?.neighbors ?? []).flatMap((list, at) =>
      list && at !== place ? [new Set(list.map(([row]) => row))] : [],
    );
    const isShared = (/** @type {Neighbor} */ [row, , known]) =>
      known ?? (others.length > 0 && others.every((rows) => rows.has(row)));
    const words = [own ? `${same} of ${found.length} are ${own}` : "By cosine similarity of the features"];
    if (others.length)
      words.push(`${found.filter(isShared).length || "none"} shared by both${found.some(isShared) ? ", framed" : ""}`);
    near.append(element("div", "sub", words.join(" · ")));
    const list = element("ol");
    for (const neighbor of found) {
      const [other, similarity] = neighbor;
      const item = element("li", own && map.labels[other] !== map.labels[index] ? "other" : "");
      item.classList.toggle("shared", isShared(neighbor));
      const who = imageName(map, other);
      const go = button(undefined, `${who}, similarity ${similarity.toFixed(3)}`, () => open(map, other));
      const picture = element("div", "tile");
      showImage(picture, map, other);
      go.append(picture, element("span", "similar", similarity.toFixed(3)), element("span", "who", who));
      item.append(go);
      list.append(item);
    }
    near.append(list);
    return near;
  });
  map.details.replaceChildren(about, ...parts);
}

/** @param {EmbeddingMap} map @param {number} index */
export function open(map, index) {
  if (map.opened === index) return;
  map.opened = index;
  report(map, CHOICE_MS);
  showTug(map);
  drawDetails(map);
  say(map, index < 0 ? "No image open" : `Open: ${imageName(map, index)}, image ${map.ids[index]}`);
  redraw(map);
}
