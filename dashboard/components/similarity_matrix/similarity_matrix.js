// A heat map on a canvas; what is pointed at, or moved to by the arrow keys, stands beside it. Texts by textContent.

import { fromBase64 } from "../common/bytes.js";
import { button, element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";
import { contrastAt } from "./contrast.js";
import { describe, number, percent, tileOf } from "./details.js";
import { draw, legend } from "./drawing.js";

/** @import { Component } from "../common/types.js" */
/** @import { FactName, Matrix, MatrixData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Matrix>} */
const matrices = new WeakMap();
/** @type {Record<string, [number, number]>} rows and columns */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** @param {Matrix} matrix @param {number} row @param {number} column */
function choose(matrix, row, column) {
  const { num } = matrix;
  matrix.cell = [Math.min(num - 1, Math.max(0, row)), Math.min(num - 1, Math.max(0, column))];
  draw(matrix);
  describe(matrix);
}

/** @param {Matrix} matrix @param {number} temperature */
function setTemperature(matrix, temperature) {
  const { num } = matrix;
  matrix.temperature = temperature;
  matrix.now = contrastAt(matrix.similarities, num, temperature);
  matrix.read.temperature.textContent = temperature.toPrecision(2);
  matrix.read.loss.textContent = matrix.now.loss.toFixed(3);
  matrix.read.chance.textContent = Math.log(num - 1).toFixed(3);
  matrix.read.effective.textContent = `${matrix.now.effective.toFixed(1)} of ${num - 2}`;
  let marked = 0;
  for (const { row, column } of matrix.data.marks) {
    marked += matrix.now.weights[row * num + column] + matrix.now.weights[column * num + row];
  }
  matrix.read.marked.textContent = matrix.data.marks.length ? percent(marked / (2 * matrix.data.marks.length)) : "–";
  matrix.slider.setAttribute("aria-valuetext", temperature.toPrecision(2));
  if (matrix.mode === "weights") draw(matrix);
  describe(matrix);
}

/** @param {FactName} name @param {string} label */
function fact(name, label) {
  const node = element("div", "fact");
  const value = element("b", "", "");
  value.dataset.name = name;
  node.append(element("span", "", label), value);
  return { node, value };
}

/** @param {Matrix} matrix */
function build(matrix) {
  const { data, node } = matrix;
  matrix.similarities = new Float32Array(fromBase64(data.similarities).buffer);
  const num = (matrix.num = 2 * data.titles.length);
  matrix.low = Infinity;
  matrix.highest = -Infinity;
  for (let i = 0; i < num; i++) {
    for (let k = 0; k < num; k++) {
      if (i === k) continue;
      matrix.low = Math.min(matrix.low, matrix.similarities[i * num + k]);
      matrix.highest = Math.max(matrix.highest, matrix.similarities[i * num + k]);
    }
  }
  matrix.small = document.createElement("canvas");

  const top = element("div", "top");
  const label = element("label", "temperature");
  const slider = (matrix.slider = element("input"));
  const span = Math.log(data.high / data.low);
  Object.assign(slider, { type: "range", min: 0, max: 1000, step: 1 });
  slider.setAttribute("aria-label", "Temperature");
  const written = element("b", "number");
  const name = element("span", "name");
  name.append(element("span", "", "Temperature "), written);
  label.append(name, slider);
  const temperatureOf = () => Number((data.low * Math.exp((span * Number(slider.value)) / 1000)).toPrecision(2));
  slider.oninput = () => setTemperature(matrix, temperatureOf());
  slider.onchange = () => matrix.component.setStateValue("temperature", matrix.temperature);
  slider.value = String(Math.round((1000 * Math.log(data.temperature / data.low)) / span));
  const facts = element("div", "facts");
  const loss = fact("loss", "NT-Xent loss");
  const chance = fact("chance", "ln(2N − 1)");
  const effective = fact("effective", "Negatives that count");
  const marked = fact("marked", "Weight of a marked one");
  facts.append(loss.node, chance.node, effective.node, marked.node);
  matrix.read = {
    temperature: written,
    loss: loss.value,
    chance: chance.value,
    effective: effective.value,
    marked: marked.value,
  };
  top.append(label, facts);

  const modes = element("div", "modes");
  modes.setAttribute("role", "group");
  modes.setAttribute("aria-label", "What the cells show");
  for (const mode of /** @type {const} */ (["similarity", "weights"])) {
    const text = mode === "similarity" ? "Similarities" : "Weights of the negatives";
    const choice = button(text, undefined, () => {
      matrix.mode = mode;
      [...modes.children].forEach((child) => child.setAttribute("aria-pressed", String(child === choice)));
      legend(matrix);
      draw(matrix);
    });
    choice.setAttribute("aria-pressed", String(matrix.mode === mode));
    modes.append(choice);
  }

  const left = element("div", "left");
  const canvas = (matrix.canvas = element("canvas"));
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `Similarities of ${num} views; move with the arrow keys`);
  const at = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const place = (/** @type {number} */ offset, /** @type {number} */ length) => Math.floor((offset / length) * num);
    choose(matrix, place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width));
  };
  canvas.onpointermove = (event) => event.pointerType === "mouse" && at(event);
  canvas.onpointerdown = at;
  canvas.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = matrix.cell ?? [0, 0];
    choose(matrix, row + step[0], column + step[1]);
  };
  matrix.legend = element("div", "legend");
  left.append(modes, canvas, matrix.legend);

  const right = element("div", "right");
  matrix.detail = element("div", "detail");
  matrix.said = element("span", "said");
  matrix.said.setAttribute("aria-live", "polite");
  right.append(matrix.detail, matrix.said);
  if (data.marks.length) {
    const marks = element("div", "marks");
    marks.append(element("p", "small", "Most similar of different images"));
    for (const mark of data.marks) {
      const pair = button(undefined, undefined, () => choose(matrix, mark.row, mark.column), "mark");
      const words = element("span", "words");
      words.append(element("b", "", number(mark.similarity)), element("span", "", ` ${mark.words}`));
      pair.append(tileOf(matrix, mark.row, 34), tileOf(matrix, mark.column, 34), words);
      marks.append(pair);
    }
    right.append(marks);
  }
  const body = element("div", "body");
  body.append(left, right);
  node.replaceChildren(top, body);
  matrix.observer?.disconnect();
  matrix.observer = new ResizeObserver(() => {
    legend(matrix);
    draw(matrix);
  });
  matrix.observer.observe(canvas);
  const first = data.marks[0] ?? { row: 0, column: 1 };
  matrix.cell = [first.row, first.column];
  setTemperature(matrix, data.temperature);
  legend(matrix);
  draw(matrix);
}

/** @param {Component<MatrixData>} component */
export default function similarityMatrix(component) {
  const { parentElement, data } = component;
  const make = () => /** @type {Matrix} */ ({ node: element("div", "smatrix"), drawn: "", mode: "similarity" });
  const matrix = stateIn(matrices, parentElement, make);
  matrix.component = component;
  if (data.revision !== matrix.drawn) {
    const kept = matrix.drawn ? matrix.temperature : data.temperature; // other images, the same temperature
    matrix.drawn = data.revision;
    matrix.data = { ...data, temperature: kept };
    build(matrix);
  } else {
    draw(matrix); // the theme may have changed
    legend(matrix);
  }
  return () => {
    matrix.observer?.disconnect();
    discardState(matrices, parentElement);
  };
}
