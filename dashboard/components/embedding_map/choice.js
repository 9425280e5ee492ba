// Pointing at, opening and selecting images, and telling the server.

const CHOICE_MS = 80, FRAME_MS = 300, ZOOM_MS = 1000; // how long to wait for more before the server is told
const TIP_SIDE = 72;

function hover(map, index, panel, x, y) {
  map.byKeyboard = false;
  if (index !== map.hovered) {
    map.hovered = index;
    redraw(map);
  }
  if (index < 0) {
    map.tip.style.display = "none";
    return;
  }
  const { color } = map.data;
  const tile = element("div", "tile");
  setTile(tile, map, index, TIP_SIDE);
  const words = element("div");
  words.append(element("div", "", imageName(map, index)));
  if (color.label && color.kind !== "class") {
    const texts = map.panels.map((each) => colorText(map, each, index));
    const text = texts.every((other) => other === texts[0]) ? texts[0] : texts.join(" | ");
    words.append(element("div", "sub", `${color.label}: ${text}`));
  }
  if (className(map, index)) words.append(element("div", "sub", `image ${map.ids[index]}`));
  map.tip.replaceChildren(tile, words);
  map.tip.style.display = "flex";
  const outer = map.node.getBoundingClientRect(), inner = panel.canvas.getBoundingClientRect();
  const left = inner.left - outer.left + x, top = inner.top - outer.top + y;
  const width = map.tip.offsetWidth, height = map.tip.offsetHeight;
  map.tip.style.left = `${Math.max(4, left + 16 + width > outer.width ? left - 16 - width : left + 16)}px`;
  map.tip.style.top = `${Math.max(4, top - height / 2)}px`;
}

function open(map, index) {
  if (map.opened === index) return;
  map.opened = index;
  report(map, CHOICE_MS);
  drawDetails(map);
  say(map, index < 0 ? "No image open" : `Open: ${imageName(map, index)}, image ${map.ids[index]}`);
  redraw(map);
}

function say(map, text) {
  map.said.textContent = text;
}

function summary(map) {
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

// Takes a new choice of images (1 for each chosen row) in the place of the old one; both panels follow.
function choose(map, chosen) {
  map.chosen = chosen;
  map.numChosen = chosen.reduce((sum, is) => sum + is, 0);
  refreshLevels(map);
  showChoice(map);
  report(map, CHOICE_MS);
  say(map, map.numChosen ? summary(map) : "No image selected");
}

// As `choose`, with what is chosen already: `mode` is new, add or remove.
function chooseWith(map, found, mode) {
  if (mode !== "new") found = found.map((is, i) => (mode === "add" ? is | map.chosen[i] : map.chosen[i] & ~is & 1));
  choose(map, found);
}

function chooseWhere(map, isChosen, mode) {
  chooseWith(map, Uint8Array.from({ length: map.count }, (_, i) => (isChosen(i) ? 1 : 0)), mode);
}

function showChoice(map) {
  map.status.textContent = summary(map);
  map.clear.hidden = !map.numChosen;
  updateLegend(map);
}

function letGo(map) {
  hover(map, -1);
  open(map, -1);
  if (map.numChosen) choose(map, new Uint8Array(map.count));
}

function setTool(map, tool) {
  map.tool = tool;
  for (const [name, each] of Object.entries(map.toolButtons)) each.setAttribute("aria-pressed", String(name === tool));
  map.node.classList.toggle("lasso", tool === "lasso");
}

// --- what the server is told ---

function report(map, delay) {
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
      hidden: [...map.hidden],
      zoom: map.panels.map(({ zoom, center }) =>
        [zoom, center.x, center.y].map((value) => Number(value.toPrecision(5)))),
    });
  }, map.delay);
}
