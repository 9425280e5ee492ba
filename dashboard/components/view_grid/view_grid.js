// Tiles of one sprite, enlarged without smoothing. Every text is set with textContent.

const grids = new WeakMap();

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function tile(url, column, row, columns, rows, label) {
  const node = element("div", "tile");
  node.style.backgroundImage = `url("${url}")`;
  node.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  const share = (place, count) => (count > 1 ? (place / (count - 1)) * 100 : 0);
  node.style.backgroundPosition = `${share(column, columns)}% ${share(row, rows)}%`;
  if (label !== undefined) {
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
  }
  return node;
}

// Outlines in an original what a view is cut from.
function frame(picture, box, which) {
  if (!box) return;
  const mark = element("div", `box ${which ? "two" : "one"}`);
  const [left, top, width, height] = box.map((share) => `${100 * share}%`);
  Object.assign(mark.style, { left, top, width, height });
  picture.append(mark);
}

function heading(text, name) {
  const head = element("div", "head");
  if (name) head.append(element("span", `key ${name}`));
  head.append(element("span", "", text));
  head.title = text;
  return head;
}

function drawViews(data) {
  const rows = element("div", data.rows.length > 1 ? "rows" : "rows single");
  data.rows.forEach((row, place) => {
    const figure = element("figure");
    const trio = element("div", "trio");
    ["", "one", "two"].forEach((name, column) => {
      const cell = element("div", name);
      const done = column ? row.words[column - 1] : [];
      const said = done.map((pair) => pair.join(" ").trim()).join(", ");
      const picture = column
        ? tile(data.sprite, column - 1, place, 2, data.rows.length, `View ${column} of ${row.title}: ${said}`)
        : tile(data.originals, 0, place, 1, data.rows.length, row.title);
      if (column) picture.tabIndex = 0; // its crop stands out in the original
      else row.boxes.forEach((box, which) => frame(picture, box, which));
      const words = element("div", "words");
      for (const [what, value] of done) {
        const line = element("div");
        line.append(element("span", "", what), element("span", "", value));
        words.append(line);
      }
      const key = column && row.boxes[column - 1] ? name : "";
      cell.append(heading(column ? `View ${column}` : row.title, key), picture, words);
      trio.append(cell);
    });
    figure.append(trio);
    rows.append(figure);
  });
  return rows;
}

function drawPicker(grid) {
  const { data } = grid;
  const strip = element("div", "strip");
  data.items.forEach((item, place) => {
    const open = element("button");
    open.type = "button";
    open.title = item.title;
    open.setAttribute("aria-label", item.title);
    open.setAttribute("aria-pressed", String(grid.picked.includes(item.number)));
    open.append(tile(data.sprite, place, 0, data.items.length, 1));
    open.onclick = () => {
      const on = grid.picked.includes(item.number);
      if (on && grid.picked.length === 1) return; // nothing to show without any
      grid.picked = on ? grid.picked.filter((other) => other !== item.number) : [...grid.picked, item.number].slice(-data.most);
      [...strip.children].forEach((child, index) =>
        child.setAttribute("aria-pressed", String(grid.picked.includes(data.items[index].number))));
      grid.component.setStateValue("picked", grid.picked);
    };
    strip.append(open);
  });
  return strip;
}

const PICTURES = ["sprite", "originals", "original"];

// A picture that comes as text becomes a file of the browser's: 32 tiles of one text of a megabyte are slow to style.
// The same text keeps its file; those that nothing shows any more are given back.
function withFiles(grid, data) {
  const found = { ...data };
  const files = new Map();
  for (const name of PICTURES) {
    const text = data[name];
    if (!text) continue;
    files.set(text, grid.files.get(text) ?? fileOf(text));
    found[name] = files.get(text);
  }
  const old = [...grid.files].filter(([text]) => !files.has(text)).map(([, url]) => url);
  grid.files = files;
  return { found, old, urls: [...files.values()] };
}

function fileOf(text) {
  const comma = text.indexOf(",");
  const bytes = Uint8Array.from(atob(text.slice(comma + 1)), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: text.slice(5, text.indexOf(";")) }));
}

function decoded(url) {
  const image = new Image();
  image.src = url;
  return image.decode().catch(() => {});
}

export default function (component) {
  const { parentElement, data } = component;
  let grid = grids.get(parentElement);
  if (!grid) {
    grid = { node: element("div", "vgrid"), drawn: "", picked: [], files: new Map() };
    parentElement.append(grid.node);
    grids.set(parentElement, grid);
  }
  grid.component = component;
  const drawn = `${data.mode} ${data.revision}`;
  if (drawn !== grid.drawn) {
    grid.drawn = drawn;
    const { found, old, urls } = withFiles(grid, data);
    grid.data = found;
    if (data.mode === "picker") grid.picked = data.picked;
    const draw = { picker: () => drawPicker(grid), views: drawViews, steps: drawSteps, shortcut: drawShortcut };
    // decoded first: what is there stays until the new pictures can take its place
    Promise.all(urls.map(decoded)).then(() => {
      if (grid.drawn === drawn) {
        const scrolled = grid.node.firstElementChild?.scrollLeft; // on a phone, the image that is looked at
        grid.node.replaceChildren(draw[data.mode](found));
        if (scrolled) grid.node.firstElementChild.scrollLeft = scrolled;
      }
      old.forEach((url) => URL.revokeObjectURL(url));
    });
  }
  return () => {
    grid.files.forEach((url) => URL.revokeObjectURL(url));
    grid.node.remove();
    grids.delete(parentElement);
  };
}
