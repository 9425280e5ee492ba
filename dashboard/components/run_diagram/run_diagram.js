// What a run does to an image, as a figure. Every text is set with textContent.

import { element, svgElement } from "../common/elements.js";
import { followLink } from "../common/leaving.js";
import { discardState, stateIn } from "../common/states.js";

/** @import { Component } from "../common/types.js" */
/** @import { Diagram, DiagramData, Stage } from "./types.js" */

/** @type {WeakMap<HTMLElement, Diagram>} */
const diagrams = new WeakMap();
const EMPTY_VALUES = 16; // of a vector that is not computed yet
const EMPTY_ROWS = 8; // and of a matrix

/** @param {string} color @param {number} share */
const tint = (color, share) => `color-mix(in srgb, ${color} ${(100 * share).toFixed(0)}%, var(--diagram-ground))`;

/** @param {string} color @param {number} x @param {number} y @param {number} width @param {number} height @param {number} share */
function cell(color, x, y, width, height, share) {
  const node = svgElement("rect", { x, y, width, height });
  node.style.fill = tint(color, share);
  return node;
}

/** A vector as a column of cells: blue above zero, orange below. @param {number[] | undefined} values */
function vectorOf(values) {
  const shown = values || new Array(EMPTY_VALUES).fill(0);
  const svg = svgElement("svg", { viewBox: `0 0 4 ${shown.length}`, class: "vector", preserveAspectRatio: "none" });
  shown.forEach((value, place) => {
    const color = value < 0 ? "var(--diagram-below)" : "var(--diagram-above)";
    svg.append(cell(color, 0, place, 4, 1.02, Math.abs(value)));
  });
  return svg;
}

/** Similarities, the two views of an image framed. @param {number[][] | undefined} matrix */
function matrixOf(matrix) {
  const num = matrix ? matrix.length : EMPTY_ROWS;
  const svg = svgElement("svg", { viewBox: `0 0 ${num} ${num}`, class: "matrix" });
  if (matrix) {
    let low = 1;
    for (const row of matrix) for (const value of row) low = Math.min(low, value);
    matrix.forEach((row, y) => {
      row.forEach((value, x) => {
        const share = low < 1 ? (value - low) / (1 - low) : 1;
        svg.append(cell(x === y ? "var(--diagram-self)" : "var(--diagram-above)", x, y, 1.02, 1.02, share));
      });
    });
  }
  for (let place = 0; matrix && place < num; place += 2) {
    svg.append(svgElement("rect", { x: place, y: place, width: 2, height: 2, class: "pair" }));
  }
  return svg;
}

/** A network as the trapezoid of textbooks. @param {string} name */
function networkOf(name) {
  const node = element("span", "network");
  const svg = svgElement("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  svg.append(svgElement("path", { d: "M2 4 L98 26 L98 74 L2 96 Z" }));
  node.append(svg, element("span", "symbol", name));
  return node;
}

/** @param {[string, number][]} shares */
function sharesOf(shares) {
  const node = element("span", "shares");
  for (const [name, share] of shares) {
    const line = element("span", "share");
    const bar = element("span", "bar");
    bar.style.width = `${Math.max(2, 100 * share).toFixed(0)}%`;
    const track = element("span", "track");
    track.append(bar);
    line.append(element("span", "name", name), track, element("span", "per-cent", `${(100 * share).toFixed(0)} %`));
    node.append(line);
  }
  return node;
}

/** @param {Stage} stage */
function pictureOf(stage) {
  const holder = element("span", `picture ${stage.empty ? "empty" : ""}`);
  if (stage.network) holder.append(networkOf(stage.network));
  for (const address of stage.images || []) {
    const image = element("img");
    image.src = address;
    image.alt = "";
    holder.append(image);
  }
  if (stage.empty === "image") holder.append(element("span", "frame"));
  if (stage.empty === "images") holder.append(element("span", "frame"), element("span", "frame"));
  if (stage.vectors) holder.append(...stage.vectors.map(vectorOf));
  if (stage.empty === "vector") holder.append(vectorOf(undefined));
  if (stage.empty === "vectors") holder.append(vectorOf(undefined), vectorOf(undefined));
  if (stage.matrix || stage.empty === "matrix") holder.append(matrixOf(stage.matrix));
  if (stage.value) holder.append(element("span", "value", stage.value));
  if (stage.shares) holder.append(sharesOf(stage.shares));
  if (stage.empty === "shares") holder.append(element("span", "frame"));
  return holder;
}

/** @param {Stage} stage */
function stageOf(stage) {
  const link = element("a", stage.network ? "stage is-network" : "stage");
  link.href = stage.href;
  link.title = stage.about;
  link.onclick = (event) => followLink(event, stage.href);
  link.append(element("span", "title", stage.title), pictureOf(stage), element("span", "note", stage.note));
  return link;
}

function arrow() {
  const svg = svgElement("svg", { viewBox: "0 0 24 12", class: "arrow", "aria-hidden": "true" });
  svg.append(svgElement("path", { d: "M1 6 H21 M16 1.5 L21.5 6 L16 10.5" }));
  return svg;
}

/** @param {Diagram} diagram */
function draw(diagram) {
  const list = element("ol");
  diagram.component.data.stages.forEach((stage, place) => {
    const item = element("li");
    if (place) item.append(arrow());
    item.append(stageOf(stage));
    list.append(item);
  });
  diagram.node.replaceChildren(list);
}

/** @param {Diagram} diagram @param {IntersectionObserverEntry[]} entries */
function seen(diagram, entries) {
  if (diagram.asked || !diagram.component.data.wanted || !entries.some((entry) => entry.isIntersecting)) return;
  diagram.asked = true;
  diagram.component.setTriggerValue("wanted", true);
}

/** @param {HTMLElement} parentElement @param {Component<DiagramData>} component */
function makeDiagram(parentElement, component) {
  const diagram = /** @type {Diagram} */ ({ node: element("nav", "run-diagram"), drawn: "", component, asked: false });
  diagram.node.setAttribute("aria-label", "What this run does to an image, step by step");
  diagram.observer = new IntersectionObserver((entries) => seen(diagram, entries));
  diagram.observer.observe(parentElement);
  return diagram;
}

/** @param {Component<DiagramData>} component */
export default function runDiagram(component) {
  const { parentElement, data } = component;
  const diagram = stateIn(diagrams, parentElement, () => makeDiagram(parentElement, component));
  diagram.component = component;
  const stamp = JSON.stringify(data.stages);
  if (stamp !== diagram.drawn) {
    diagram.drawn = stamp;
    draw(diagram);
  }
  return () => {
    diagram.observer.disconnect();
    discardState(diagrams, parentElement);
  };
}
