// Images that can be clicked, cut from sheets by the browser. Every text is set with textContent.

const grids = new WeakMap();
const SCROLL_MS = 500; // the neighbours of the clicked image appear elsewhere on the page, a moment later

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function tileOf({ tile, sheets, side }, row) {
  const place = row % tile.per_sheet;
  const node = element("span", tile.side < 96 ? "tile small" : "tile");
  Object.assign(node.style, {
    width: `${side}px`, height: `${side}px`,
    backgroundImage: `url("${sheets[Math.floor(row / tile.per_sheet)]}")`,
    backgroundSize: `${tile.columns * side}px auto`,
    backgroundPosition: `-${(place % tile.columns) * side}px -${Math.floor(place / tile.columns) * side}px`,
  });
  return node;
}

function buttonOf(grid, item) {
  const node = element("button", `${item.open ? "open" : ""} ${item.mark ? "mark" : ""}`);
  node.type = "button";
  node.style.width = `${grid.component.data.side}px`;
  node.title = `${item.name}: show its neighbours`;
  node.setAttribute("aria-label", node.title);
  node.append(tileOf(grid.component.data, item.row));
  if (item.caption) {
    const caption = element("span", "caption");
    if (item.color) {
      const dot = element("span", "dot");
      dot.style.background = item.color;
      caption.append(dot);
    }
    caption.append(element("span", "", item.caption));
    node.append(caption);
  }
  node.onclick = () => {
    grid.component.setTriggerValue("clicked", item.id);
    setTimeout(() => document.querySelector(".emap .details, .st-key-embedding-open")
      ?.scrollIntoView({ block: "nearest", behavior: "smooth" }), SCROLL_MS);
  };
  return node;
}

export default function imageGrid(component) {
  const { parentElement, data } = component;
  let grid = grids.get(parentElement);
  if (!grid) {
    grid = { node: element("div", "image-grid") };
    parentElement.append(grid.node);
    grids.set(parentElement, grid);
  }
  grid.component = component;
  const stamp = JSON.stringify(data);
  if (stamp !== grid.stamp) {
    grid.stamp = stamp;
    grid.node.style.maxHeight = data.height ? `${data.height}px` : "";
    grid.node.replaceChildren(...data.items.map((item) => buttonOf(grid, item)));
  }
  return () => {
    grid.node.remove();
    grids.delete(parentElement);
  };
}
