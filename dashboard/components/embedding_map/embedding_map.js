// Two maps of the same images on canvases. Every text is set with textContent: names of runs and classes are never
// read as markup. The state lives with the mounted element, so that zoom and selection survive every update.

const maps = new WeakMap();

// Viridis (van der Walt and Smith 2015), told apart with every colour blindness and in grey.
const SCALE = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const KEYBOARD_STEP = 0.25;
const MAX_ZOOM = 60;

function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found.buffer;
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function button(text, label, action, className) {
  const node = element("button", className, text);
  node.type = "button";
  if (label) {
    node.title = label;
    node.setAttribute("aria-label", label);
  }
  node.onclick = action;
  return node;
}

function theme(node) {
  const style = getComputedStyle(node);
  const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const background = value("--st-background-color", "#ffffff");
  const number = parseInt(background.replace("#", "").slice(0, 6), 16);
  const light = 0.3 * (number >> 16) + 0.59 * ((number >> 8) & 255) + 0.11 * (number & 255);
  return { background, text: value("--st-text-color", "#1a2130"), dark: light < 128 };
}

function mix(a, b, share) {
  const channel = (color, place) => parseInt(color.slice(place, place + 2), 16);
  const part = (place) => Math.round(channel(a, place) * (1 - share) + channel(b, place) * share);
  return `rgb(${part(1)}, ${part(3)}, ${part(5)})`;
}

// A share 0..1 as a colour; the ends that would vanish on the page are left out.
function scaleColor(kind, share, dark) {
  if (kind === "cycle") return `hsl(${Math.round(360 * share)}, 78%, ${dark ? 62 : 48}%)`;
  const low = dark ? 0.22 : 0.0, high = dark ? 1.0 : 0.9;
  const place = (low + (high - low) * Math.min(1, Math.max(0, share))) * (SCALE.length - 1);
  const first = Math.min(SCALE.length - 2, Math.floor(place));
  return mix(SCALE[first], SCALE[first + 1], place - first);
}

function number(value) {
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// --- images from the sheets ---

function setTile(node, map, index, size) {
  const { side, columns, per_sheet: perSheet } = map.data.tile;
  const place = index % perSheet;
  const url = map.data.sheets[Math.floor(index / perSheet)];
  node.style.backgroundImage = url ? `url("${url}")` : "none";
  if (size) {
    node.style.width = node.style.height = `${size}px`;
    node.style.backgroundSize = `${columns * size}px auto`;
    node.style.backgroundPosition = `-${(place % columns) * size}px -${Math.floor(place / columns) * size}px`;
  } else {
    // any width: shares of the sheet in place of pixels
    const count = Math.min(perSheet, map.count - Math.floor(index / perSheet) * perSheet);
    const rows = Math.ceil(count / columns);
    node.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
    const across = ((place % columns) / (columns - 1)) * 100;
    const down = rows > 1 ? (Math.floor(place / columns) / (rows - 1)) * 100 : 0;
    node.style.backgroundPosition = `${across}% ${down}%`;
  }
}

function className(map, index) {
  const label = map.labels[index];
  return label >= 0 && map.data.classes[label] ? map.data.classes[label].name : "";
}

function classColor(map, index) {
  const label = map.labels[index];
  return label >= 0 && map.data.classes[label] ? map.data.classes[label].color : "#8a94a6";
}

// --- one panel ---

function makePanel(map, place) {
  const panel = { zoom: 1, x: 0, y: 0, points: new Float32Array(0), pointers: new Map() };
  panel.node = element("section", "panel");
  const head = element("header");
  panel.title = element("div", "title");
  panel.subtitle = element("div", "subtitle");
  panel.stats = element("div", "stats");
  head.append(panel.title, panel.subtitle, panel.stats);
  const plane = element("div", "plane");
  panel.canvas = element("canvas");
  panel.canvas.tabIndex = 0;
  panel.canvas.setAttribute("role", "application");
  panel.tools = element("div", "tools");
  panel.tools.append(
    button("+", "Zoom in", () => zoomAt(map, panel, 1.5)),
    button("−", "Zoom out", () => zoomAt(map, panel, 1 / 1.5)),
    button("Reset", "Show the whole map", () => resetZoom(map, panel)),
  );
  panel.note = element("div", "note");
  plane.append(panel.canvas, panel.note, panel.tools);
  panel.node.append(head, plane);
  listen(map, panel, place);
  return panel;
}

function fit(panel) {
  const { points } = panel;
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    left = Math.min(left, points[i]); right = Math.max(right, points[i]);
    low = Math.min(low, points[i + 1]); high = Math.max(high, points[i + 1]);
  }
  panel.box = points.length ? { x: (left + right) / 2, y: (low + high) / 2, width: right - left || 1, height: high - low || 1 }
    : { x: 0, y: 0, width: 1, height: 1 };
}

// One scale for both directions: a distance to the right looks as long as the same one upwards.
function view(panel) {
  const width = panel.canvas.clientWidth, height = panel.canvas.clientHeight;
  const scale = Math.min((width - 36) / panel.box.width, (height - 36) / panel.box.height) * panel.zoom;
  return { width, height, scale, x: width / 2 + panel.x, y: height / 2 + panel.y };
}

function position(panel, frame, index) {
  return [
    frame.x + (panel.points[2 * index] - panel.box.x) * frame.scale,
    frame.y - (panel.points[2 * index + 1] - panel.box.y) * frame.scale,
  ];
}

function isShown(map, index) {
  return !map.hidden.size || !map.hidden.has(map.colorGroup[index]);
}

function draw(map, panel) {
  const { canvas } = panel;
  const frame = view(panel);
  if (!frame.width) return;
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(frame.width * ratio), height = Math.round(frame.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, frame.width, frame.height);
  const colors = map.theme;
  const count = panel.points.length / 2;
  const radius = (count > 6000 ? 1.8 : count > 1500 ? 2.6 : 3.4) * Math.min(2.2, Math.pow(panel.zoom, 0.3));
  const focus = map.focus;
  for (let i = 0; i < count; i++) {
    if (!isShown(map, i)) continue;
    const [x, y] = position(panel, frame, i);
    if (x < -9 || y < -9 || x > frame.width + 9 || y > frame.height + 9) continue;
    context.globalAlpha = focus === null || map.colorGroup[i] === focus ? 0.82 : 0.1;
    context.fillStyle = map.pointColors[i];
    context.beginPath();
    context.arc(x, y, radius, 0, 6.2832);
    context.fill();
  }
  context.globalAlpha = 1;
  const ring = (index, size, line, color) => {
    const [x, y] = position(panel, frame, index);
    context.beginPath();
    context.arc(x, y, size, 0, 6.2832);
    context.lineWidth = line + 2.5;
    context.strokeStyle = colors.background;
    context.stroke();
    context.lineWidth = line;
    context.strokeStyle = color;
    context.stroke();
  };
  if (!count) return;
  const place = map.panels.indexOf(panel);
  const details = map.data.details;
  if (map.selected >= 0 && details && details.index === map.selected) {
    for (const [index] of (details.neighbors[place] || [])) ring(index, radius + 2.5, 1.2, colors.text);
  }
  if (map.selected >= 0) ring(map.selected, radius + 6.5, 2.5, colors.text);
  if (map.hovered >= 0) ring(map.hovered, radius + 4, 2, colors.text);
}

function redraw(map) {
  if (map.waiting) return;
  map.waiting = true;
  requestAnimationFrame(() => {
    map.waiting = false;
    map.panels.forEach((panel) => draw(map, panel));
  });
}

function nearest(map, panel, x, y, reach) {
  const frame = view(panel);
  let best = -1, least = reach * reach;
  for (let i = 0; i < panel.points.length / 2; i++) {
    if (!isShown(map, i)) continue;
    const [px, py] = position(panel, frame, i);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

function zoomAt(map, panel, factor, x, y) {
  const frame = view(panel);
  const zoom = Math.min(MAX_ZOOM, Math.max(1, panel.zoom * factor));
  const change = zoom / panel.zoom;
  const [cx, cy] = x === undefined ? [frame.width / 2, frame.height / 2] : [x, y];
  panel.x = (cx - frame.width / 2) * (1 - change) + panel.x * change;
  panel.y = (cy - frame.height / 2) * (1 - change) + panel.y * change;
  panel.zoom = zoom;
  if (zoom === 1) panel.x = panel.y = 0;
  panel.tools.classList.toggle("zoomed", zoom > 1);
  hover(map, -1);
  redraw(map);
}

function resetZoom(map, panel) {
  panel.zoom = 1;
  panel.x = panel.y = 0;
  panel.tools.classList.remove("zoomed");
  redraw(map);
}

// --- pointing and choosing ---

function hover(map, index, panel, x, y) {
  if (index !== map.hovered) {
    map.hovered = index;
    redraw(map);
  }
  if (index < 0) {
    map.tip.style.display = "none";
    return;
  }
  const tile = element("div", "tile");
  setTile(tile, map, index, 72);
  const words = element("div");
  words.append(element("div", "", className(map, index) || `Image ${map.ids[index]}`));
  if (map.data.color.kind !== "class") words.append(element("div", "sub", `${map.data.color.label} ${colorText(map, index)}`));
  if (className(map, index)) words.append(element("div", "sub", `image ${map.ids[index]}`));
  map.tip.replaceChildren(tile, words);
  map.tip.style.display = "flex";
  const outer = map.node.getBoundingClientRect(), inner = panel.canvas.getBoundingClientRect();
  const left = inner.left - outer.left + x, top = inner.top - outer.top + y;
  const width = map.tip.offsetWidth, height = map.tip.offsetHeight;
  map.tip.style.left = `${Math.max(4, left + 16 + width > outer.width ? left - 16 - width : left + 16)}px`;
  map.tip.style.top = `${Math.max(4, top - height / 2)}px`;
}

function colorText(map, index) {
  const { color } = map.data;
  if (color.kind === "class" || color.kind === "category") return color.names[map.colorGroup[index]] || "";
  return number(map.colorValues[index]);
}

function select(map, index) {
  if (map.selected === index) return;
  map.selected = index;
  map.component.setStateValue("image", index < 0 ? -1 : map.ids[index]);
  drawDetails(map);
  redraw(map);
}

function listen(map, panel) {
  const { canvas, pointers } = panel;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("wheel", (event) => {
    if (panel.zoom === 1 && event.deltaY > 0) return; // nothing left to zoom out of: the page scrolls
    event.preventDefault();
    zoomAt(map, panel, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0018)), ...place(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { at: place(event), start: place(event), moved: false });
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const pointer = pointers.get(event.pointerId);
    if (!pointer) {
      if (event.pointerType !== "touch") hover(map, nearest(map, panel, x, y, 12), panel, x, y);
      return;
    }
    const [oldX, oldY] = pointer.at;
    pointer.at = [x, y];
    if (Math.hypot(x - pointer.start[0], y - pointer.start[1]) > 5) pointer.moved = true;
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(oldX - other.at[0], oldY - other.at[1]);
      const after = Math.hypot(x - other.at[0], y - other.at[1]);
      if (before > 0) zoomAt(map, panel, after / before, (x + other.at[0]) / 2, (y + other.at[1]) / 2);
    } else if (pointer.moved) {
      canvas.classList.add("dragging");
      panel.x += x - oldX;
      panel.y += y - oldY;
      panel.tools.classList.add("zoomed");
      hover(map, -1);
      redraw(map);
    }
  });
  const release = (event) => {
    const pointer = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    canvas.classList.remove("dragging");
    if (!pointer || pointer.moved || event.type === "pointercancel") return;
    const found = nearest(map, panel, ...place(event), event.pointerType === "touch" ? 24 : 12);
    if (event.pointerType === "touch") hover(map, -1);
    select(map, found);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(map, -1));
  canvas.addEventListener("dblclick", () => resetZoom(map, panel));
  canvas.addEventListener("keydown", (event) => {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in directions) step(map, panel, directions[event.key]);
    else if (event.key === "+" || event.key === "=") zoomAt(map, panel, 1 + KEYBOARD_STEP);
    else if (event.key === "-") zoomAt(map, panel, 1 / (1 + KEYBOARD_STEP));
    else if (event.key === "0") resetZoom(map, panel);
    else if (event.key === "Escape") select(map, -1);
    else return;
    event.preventDefault();
  });
}

// The arrow keys go from the chosen image to the nearest one that lies in that direction.
function step(map, panel, [dx, dy]) {
  const frame = view(panel);
  if (map.selected < 0) {
    select(map, nearest(map, panel, frame.width / 2, frame.height / 2, Infinity));
    return;
  }
  const [x, y] = position(panel, frame, map.selected);
  let best = -1, least = Infinity;
  for (let i = 0; i < panel.points.length / 2; i++) {
    if (i === map.selected || !isShown(map, i)) continue;
    const [px, py] = position(panel, frame, i);
    const along = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along <= 0 || aside > along) continue;
    if (along + 2 * aside < least) [best, least] = [i, along + 2 * aside];
  }
  if (best >= 0) select(map, best);
}

// --- legend ---

function drawLegend(map) {
  const { color } = map.data;
  map.legend.replaceChildren();
  if (!color.label) return;
  map.legend.append(element("span", "what", color.label));
  if (color.kind === "number" || color.kind === "cycle") {
    const bar = element("div", "bar");
    const line = element("i");
    const stops = Array.from({ length: 13 }, (_, i) => scaleColor(color.kind, i / 12, map.theme.dark));
    line.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    bar.append(element("span", "", number(color.low)), line, element("span", "", number(color.high)));
    map.legend.append(bar);
    return;
  }
  color.names.forEach((name, group) => {
    const item = element("button");
    item.type = "button";
    const dot = element("span", "dot");
    dot.style.background = dot.style.borderColor = color.colors[group];
    item.append(dot, element("span", "", name));
    item.setAttribute("aria-pressed", String(!map.hidden.has(group)));
    item.title = `Show or hide ${name}; double click shows it alone`;
    item.onclick = () => toggle(map, () => (map.hidden.has(group) ? map.hidden.delete(group) : map.hidden.add(group)));
    item.ondblclick = () => toggle(map, () => {
      map.hidden = new Set(color.names.map((_, other) => other).filter((other) => other !== group));
    });
    item.onpointerenter = () => setFocus(map, group);
    item.onpointerleave = () => setFocus(map, null);
    map.legend.append(item);
  });
  const all = button("Show all", "", () => toggle(map, () => map.hidden.clear()), "plain");
  all.hidden = true;
  map.legend.append(all);
}

// The buttons stay the same nodes: a double click must find the one it began on.
function toggle(map, change) {
  change();
  const items = [...map.legend.querySelectorAll("button")];
  items.forEach((item, group) => {
    if (item.hasAttribute("aria-pressed")) item.setAttribute("aria-pressed", String(!map.hidden.has(group)));
  });
  items[items.length - 1].hidden = !map.hidden.size;
  setFocus(map, null);
  redraw(map);
}

function setFocus(map, group) {
  map.focus = group !== null && map.hidden.has(group) ? null : group;
  redraw(map);
}

// --- the chosen image ---

function drawDetails(map) {
  const index = map.selected;
  if (index < 0) {
    map.details.hidden = true;
    map.hint.hidden = false;
    map.said.textContent = "";
    return;
  }
  map.hint.hidden = true;
  map.details.hidden = false;
  const { data } = map;
  const details = data.details && data.details.index === index ? data.details : null;
  const about = element("div", "about");
  const tile = element("div", "tile");
  setTile(tile, map, index, 128);
  const what = element("div", "what");
  const name = element("div", "name");
  const own = className(map, index);
  if (own) {
    const dot = element("span", "dot");
    dot.style.background = dot.style.borderColor = classColor(map, index);
    name.append(dot);
  }
  name.append(element("span", "", own || `Image ${map.ids[index]}`));
  const names = element("div", "names");
  names.append(name, element("div", "sub", `Image ${map.ids[index]} of the ${data.split} images`));
  what.append(names);
  const facts = element("dl", "facts");
  for (const [label, value] of (details ? details.facts : [])) {
    const fact = element("div");
    fact.append(element("dt", "", label), element("dd", "", value));
    facts.append(fact);
  }
  what.append(facts);
  about.append(tile, what, button("Close", "Choose no image", () => select(map, -1), "close"));
  const parts = [about];
  data.panels.forEach((panel, place) => {
    const near = element("div", "near");
    near.append(element("h4", "", `Nearest in ${panel.title}`));
    const found = details ? details.neighbors[place] : null;
    if (!found) {
      near.append(element("div", "sub", "Looking for them …"));
      near.classList.add("waiting");
    } else {
      const same = found.filter(([other]) => map.labels[other] === map.labels[index]).length;
      near.append(element("div", "sub", own ? `${same} of ${found.length} are ${own}` : "By cosine similarity of the features"));
      const list = element("ol");
      for (const [other, similarity] of found) {
        const item = element("li", own && map.labels[other] !== map.labels[index] ? "other" : "");
        const who = className(map, other) || `image ${map.ids[other]}`;
        const open = button(undefined, `${who}, similarity ${similarity.toFixed(3)}`, () => select(map, other));
        const picture = element("div", "tile");
        setTile(picture, map, other);
        open.append(picture, element("span", "similar", similarity.toFixed(3)), element("span", "who", who));
        item.append(open);
        list.append(item);
      }
      near.append(list);
    }
    parts.push(near);
  });
  map.details.replaceChildren(...parts);
  map.said.textContent = `Chosen: ${own || "image"} ${map.ids[index]}`;
}

// --- mounting ---

function applyColors(map) {
  const { color } = map.data;
  map.theme = theme(map.node);
  const isNumber = color.kind === "number" || color.kind === "cycle";
  const span = color.high - color.low || 1;
  map.pointColors = Array.from({ length: map.count }, (_, i) => {
    if (!color.label) return map.theme.dark ? "#6d87f5" : "#4263eb";
    if (!isNumber) return color.colors[map.colorGroup[i]] || "#8a94a6";
    return scaleColor(color.kind, Math.round(64 * ((map.colorValues[i] - color.low) / span)) / 64, map.theme.dark);
  });
  drawLegend(map);
}

function takeIn(map, data) {
  map.data = data;
  map.ids = new Int32Array(bytes(data.ids));
  map.labels = new Int32Array(bytes(data.labels));
  map.count = map.ids.length;
  const values = new Float32Array(bytes(data.color.values));
  const isNumber = data.color.kind === "number" || data.color.kind === "cycle";
  map.colorValues = values;
  map.colorGroup = isNumber ? new Float32Array(map.count).fill(-1) : values;
  if (map.colorLabel !== data.color.label) map.hidden = new Set();
  map.colorLabel = data.color.label;
  map.hovered = -1;
  data.panels.forEach((given, place) => {
    const panel = map.panels[place];
    panel.title.textContent = given.title;
    panel.subtitle.textContent = given.subtitle;
    panel.note.textContent = given.note || "";
    panel.stats.replaceChildren(...given.stats.map((stat) => {
      const item = element("div", "stat");
      item.title = stat.help;
      item.append(element("b", "", stat.value), element("span", "", stat.label));
      return item;
    }));
    panel.canvas.setAttribute("aria-label",
      `Map of ${map.count} images by ${given.title}. Arrow keys choose an image, plus and minus zoom, 0 shows all.`);
    if (panel.packed !== given.points) {
      panel.packed = given.points;
      panel.points = new Float32Array(bytes(given.points));
      panel.zoom = 1;
      panel.x = panel.y = 0;
      fit(panel);
    }
  });
  applyColors(map);
}

function mount(parentElement) {
  const map = { hidden: new Set(), hovered: -1, selected: -1, focus: null, revision: "", panels: [], stamp: "" };
  map.node = element("div", "emap");
  const panels = element("div", "panels");
  map.legend = element("div", "legend");
  map.hint = element("p", "hint", "Click a point to see its image and its nearest neighbours in both models.");
  map.details = element("section", "details");
  map.details.hidden = true;
  map.said = element("div", "sr");
  map.said.setAttribute("role", "status");
  map.tip = element("div", "tip");
  for (const place of [0, 1]) {
    const panel = makePanel(map, place);
    map.panels.push(panel);
    panels.append(panel.node);
  }
  map.node.append(panels, map.legend, map.hint, map.details, map.said, map.tip);
  parentElement.append(map.node);
  map.resize = new ResizeObserver(() => redraw(map));
  map.panels.forEach((panel) => map.resize.observe(panel.canvas));
  map.darkness = window.matchMedia("(prefers-color-scheme: dark)");
  // Streamlit sets its colours a moment after the system does
  map.onTheme = () => setTimeout(() => { applyColors(map); redraw(map); }, 300);
  map.darkness.addEventListener("change", map.onTheme);
  return map;
}

export default function (component) {
  const { parentElement, data } = component;
  let map = maps.get(parentElement);
  if (!map) {
    map = mount(parentElement);
    maps.set(parentElement, map);
  }
  map.component = component;
  if (map.revision !== data.revision) {
    const chosen = map.selected >= 0 ? map.ids[map.selected] : data.image;
    takeIn(map, data);
    map.revision = data.revision;
    map.selected = map.ids.indexOf(chosen);
  }
  map.data.details = data.details;
  const stamp = JSON.stringify([data.revision, map.selected, data.details]);
  if (stamp !== map.stamp) {
    map.stamp = stamp;
    drawDetails(map);
  }
  redraw(map);
  return () => {
    map.resize.disconnect();
    map.darkness.removeEventListener("change", map.onTheme);
    map.node.remove();
    maps.delete(parentElement);
  };
}
