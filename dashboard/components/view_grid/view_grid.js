// Tiles of one sprite, enlarged without smoothing. Every text is set with textContent.

const grids = new WeakMap();

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function tile(url, column, row, columns, rows) {
  const node = element("div", "tile");
  node.style.backgroundImage = `url("${url}")`;
  node.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  const share = (place, count) => (count > 1 ? (place / (count - 1)) * 100 : 0);
  node.style.backgroundPosition = `${share(column, columns)}% ${share(row, rows)}%`;
  return node;
}

function drawViews(node, data) {
  const rows = element("div", data.rows.length > 1 ? "rows" : "rows single");
  data.rows.forEach((row, place) => {
    const figure = element("figure");
    const trio = element("div", "trio");
    ["", "one", "two"].forEach((name, column) => {
      const cell = element("div");
      const head = element("div", "head");
      if (name && row.boxes[column - 1]) head.append(element("span", `key ${name}`));
      head.append(element("span", "", column ? `View ${column}` : row.title));
      head.title = column ? "" : row.title;
      const picture = tile(data.sprite, column, place, 3, data.rows.length);
      picture.setAttribute("role", "img");
      const done = column ? row.words[column - 1] : [];
      const said = done.map((pair) => pair.join(" ").trim()).join(", ");
      picture.setAttribute("aria-label", column ? `View ${column} of ${row.title}: ${said}` : row.title);
      if (!column) {
        row.boxes.forEach((box, which) => {
          if (!box) return;
          const mark = element("div", `box ${which ? "two" : "one"}`);
          const [left, top, width, height] = box.map((share) => `${100 * share}%`);
          Object.assign(mark.style, { left, top, width, height });
          picture.append(mark);
        });
      }
      const words = element("div", "words");
      for (const [name, value] of done) {
        const line = element("div");
        line.append(element("span", "", name), element("span", "", value));
        words.append(line);
      }
      cell.append(head, picture, words);
      trio.append(cell);
    });
    figure.append(trio);
    rows.append(figure);
  });
  node.replaceChildren(rows);
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
  grid.node.replaceChildren(strip);
}

export default function (component) {
  const { parentElement, data } = component;
  let grid = grids.get(parentElement);
  if (!grid) {
    grid = { node: element("div", "vgrid"), drawn: "", picked: [] };
    parentElement.append(grid.node);
    grids.set(parentElement, grid);
  }
  grid.component = component;
  if (data.revision !== grid.drawn) {
    grid.drawn = data.revision;
    grid.data = data;
    if (data.mode === "picker") {
      grid.picked = data.picked;
      drawPicker(grid);
    } else {
      drawViews(grid.node, data);
    }
  }
  return () => {
    grid.node.remove();
    grids.delete(parentElement);
  };
}
