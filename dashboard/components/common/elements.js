// Elements of a page and of a drawing. Text is set with textContent: names of runs and classes are never read as markup.

export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// `label` says what it does where its text does not, or not well enough.
export function button(text, label, action, className) {
  const node = element("button", className, text);
  node.type = "button";
  if (label) {
    node.title = label;
    node.setAttribute("aria-label", label);
  }
  node.onclick = action;
  return node;
}

export const SVG = "http://www.w3.org/2000/svg";

export function svgElement(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
