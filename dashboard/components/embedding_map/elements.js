// Elements, icons, colours and the tiles of a sheet of images.

// Viridis (van der Walt and Smith 2015), told apart with every colour blindness and in grey.
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b",
  "#fde725"].map(rgb);
const DARK_PAGE_LIGHT = 125;
const UNKNOWN_COLOR = [138, 148, 166];

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

const ICONS = {
  move: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  lasso: "M7 15.2C4.6 14.2 3 12.2 3 10c0-3.4 4-6 9-6s9 2.6 9 6-4 6-9 6c-1.8 0-3.5-.3-5-.8a2 2 0 1 0-1.5 3.3c1 0 1.7-.7 1.5-1.7M5.5 18.5c.4 1 .2 1.8-.8 2.5",
  save: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 19.5h14",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 5.5v13M15.5 5.5v13",
};

function icon(name) {
  const drawing = node("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" });
  drawing.append(node("path", { d: ICONS[name] }));
  return drawing;
}

function iconButton(name, text, label, action, className) {
  const found = button(undefined, label, action, className);
  found.append(icon(name));
  if (text) found.append(element("span", "", text));
  return found;
}

// --- colours ---

function rgb(color) {
  const number = parseInt(color.slice(1, 7), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

function cssColor([red, green, blue]) {
  return `rgb(${red}, ${green}, ${blue})`;
}

function theme(node) {
  const style = getComputedStyle(node);
  const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const background = value("--st-background-color", "#ffffff");
  const [red, green, blue] = rgb(background);
  return {
    background, text: value("--st-text-color", "#1a2130"), border: value("--st-border-color", "#e0e5ee"),
    primary: value("--st-primary-color", "#3f5be0"), font: style.fontFamily,
    dark: 0.3 * red + 0.59 * green + 0.11 * blue < 128,
  };
}

function isScale(color) {
  return color.kind === "number" || color.kind === "cycle" || color.kind === "share";
}

// A share 0..1 as red, green and blue; the ends that would vanish on the page are left out.
function scaleColor(kind, share, dark) {
  if (kind === "cycle") {
    const light = dark ? 0.62 : 0.48, spread = 0.78 * Math.min(light, 1 - light);
    const channel = (shift) => {
      const place = (shift + 12 * share) % 12;
      return Math.round(255 * (light - spread * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
    };
    return [channel(0), channel(8), channel(4)];
  }
  const low = dark ? 0.22 : 0, high = dark ? 1 : 0.9;
  const place = (low + (high - low) * Math.min(1, Math.max(0, share))) * (VIRIDIS.length - 1);
  const first = Math.min(VIRIDIS.length - 2, Math.floor(place)), part = place - first;
  return VIRIDIS[first].map((value, i) => Math.round(value * (1 - part) + VIRIDIS[first + 1][i] * part));
}

// A colour of a group as the page shows it: on a dark one the dark colours are lightened.
function groupColor(map, text) {
  const color = rgb(text);
  const light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2];
  if (!map.theme.dark || light >= DARK_PAGE_LIGHT) return color;
  const share = (DARK_PAGE_LIGHT - light) / (255 - light);
  return color.map((value) => Math.round(value + (255 - value) * share));
}

function valueText(color, value) {
  if (Number.isNaN(value)) return "unknown";
  if (color.kind === "share") return `${Math.round(100 * value)} %`;
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const count = (number) => number.toLocaleString("en");

// --- images from the sheets ---

// A picture inside the page becomes an address of its own once, or each tile would read all of it again.
function sheetAddress(map, number) {
  const address = map.data.sheets[number];
  if (!address || !address.startsWith("data:")) return address;
  if (!map.sheets.has(address)) {
    const [head, content] = [address.slice(5, address.indexOf(";")), address.slice(address.indexOf(",") + 1)];
    map.sheets.set(address, URL.createObjectURL(new Blob([fromBase64(content)], { type: head })));
  }
  return map.sheets.get(address);
}

function setTile(node, map, index, size) {
  const { side, columns, per_sheet: perSheet } = map.data.tile;
  const place = index % perSheet;
  const url = sheetAddress(map, Math.floor(index / perSheet));
  node.style.backgroundImage = url ? `url("${url}")` : "none";
  node.classList.toggle("small", side < 96);
  if (size) {
    node.style.width = node.style.height = `${size}px`;
    node.style.backgroundSize = `${columns * size}px auto`;
    node.style.backgroundPosition = `-${(place % columns) * size}px -${Math.floor(place / columns) * size}px`;
  } else {
    // any width: shares of the sheet in place of pixels
    const rows = Math.ceil(Math.min(perSheet, map.count - Math.floor(index / perSheet) * perSheet) / columns);
    node.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
    const share = (place, count) => (count > 1 ? (place / (count - 1)) * 100 : 0);
    node.style.backgroundPosition = `${share(place % columns, columns)}% ${share(Math.floor(place / columns), rows)}%`;
  }
}

function className(map, index) {
  return map.data.classes[map.labels[index]]?.name ?? "";
}

function imageName(map, index) {
  return className(map, index) || `Image ${map.ids[index]}`;
}

// What an image's colour says in a panel.
function colorText(map, panel, index) {
  const { color } = map.data;
  return isScale(color) ? valueText(color, panel.values[index]) : color.names[panel.groups[index]] ?? "unknown";
}
