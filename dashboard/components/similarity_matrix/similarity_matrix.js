// A heat map on a canvas; what is pointed at, or moved to by the arrow keys, stands beside it. Texts by textContent.

import { fromBase64 } from "../common/bytes.js";
import { button, contextOf, element } from "../common/elements.js";
import { discardState, stateIn } from "../common/states.js";
import { colorAt, cssColor, theme } from "../common/theme.js";
import { setTile } from "../common/tiles.js";
import { contrastAt } from "./contrast.js";

/** @import { Component, Rgb } from "../common/types.js" */
/** @import { FactName, Matrix, MatrixData } from "./types.js" */

/** @type {WeakMap<HTMLElement, Matrix>} */
const matrices = new WeakMap();
const MOST_BARS = 6;
/** @type {Record<string, [number, number]>} rows and columns */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** @param {Matrix} matrix @param {number} row @param {number} side */
function tileOf(matrix, row, side) {
  const node = element("span", "tile");
  setTile(node, matrix.data.sprite, row, matrix.data.columns, side);
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", viewName(matrix, row));
  return node;
}

/** @param {Matrix} matrix @param {number} row */
function viewName(matrix, row) {
  return `${matrix.data.titles[row >> 1]}, view ${(row & 1) + 1}`;
}

/**
 * From deep blue by white or near-black to yellow-white would hide zero; one hue from the page's ground to full is read
 * at once. Far ends: the lowest and highest value off the diagonal.
 * @param {number} share @param {boolean} isDark
 */
function ramp(share, isDark) {
  /** @type {Rgb[]} */
  const stops = isDark
    ? [
        [16, 21, 28],
        [38, 62, 140],
        [95, 120, 238],
        [190, 205, 255],
        [255, 250, 225],
      ]
    : [
        [255, 255, 255],
        [205, 216, 250],
        [120, 142, 238],
        [50, 66, 170],
        [18, 16, 66],
      ];
  return colorAt(stops, share);
}

/**
 * What is drawn: similarities, or each row's weights as shares of the largest weight there is.
 * @param {Matrix} matrix
 */
function shownValues(matrix) {
  if (matrix.mode === "similarity") return { values: matrix.similarities, low: matrix.low, high: matrix.highest };
  const { weights } = matrix.now;
  let high = 0;
  for (const weight of weights) high = Math.max(high, weight);
  return { values: weights, low: 0, high };
}

/** @param {Matrix} matrix */
function draw(matrix) {
  const { canvas, num } = matrix;
  const side = canvas.clientWidth;
  if (!side) return;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(side * scale)) canvas.width = canvas.height = Math.round(side * scale);
  const isDark = theme(matrix.node).dark;
  const { values, low, high } = shownValues(matrix);
  const small = new ImageData(num, num);
  for (let i = 0; i < num; i++) {
    for (let k = 0; k < num; k++) {
      const place = i * num + k;
      const isWeight = matrix.mode === "weights";
      let color;
      if (i === k || (isWeight && k === (i ^ 1))) color = [138, 148, 166];
      else {
        const share = high > low ? (values[place] - low) / (high - low) : 0;
        color = ramp(isWeight ? Math.sqrt(share) : share, isDark);
      }
      small.data.set([...color, 255], 4 * place);
    }
  }
  matrix.small.width = matrix.small.height = num;
  contextOf(matrix.small).putImageData(small, 0, 0);
  const context = contextOf(canvas);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(matrix.small, 0, 0, canvas.width, canvas.height);
  const cell = canvas.width / num;
  /** @param {number} row @param {number} column @param {number} rows @param {string} color @param {number} width */
  const frame = (row, column, rows, color, width) => {
    context.strokeStyle = color;
    context.lineWidth = width * scale;
    context.strokeRect(column * cell, row * cell, rows * cell, rows * cell);
  };
  if (cell / scale >= 2.5) {
    for (let i = 0; i < num; i += 2) frame(i, i, 2, isDark ? "#2bb58c" : "#159a74", 1.5); // the pairs
  }
  for (const mark of matrix.data.marks) {
    for (const [row, column] of [
      [mark.row, mark.column],
      [mark.column, mark.row],
    ]) {
      frame(row, column, 1, "#e07b28", 2.5);
    }
  }
  if (matrix.cell) {
    const [row, column] = matrix.cell;
    frame(row, column, 1, isDark ? "#ffffff" : "#000000", 2);
  }
}

/** @param {number} value */
function number(value) {
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(3) : value.toExponential(1);
}

/** @param {number} share */
function percent(share) {
  return share >= 0.0005 || share === 0 ? `${(100 * share).toFixed(1)} %` : "< 0.1 %";
}

/**
 * The chosen cell: both views, what they are to each other, and the anchor's heaviest negatives.
 * @param {Matrix} matrix
 */
function describe(matrix) {
  const { detail, num } = matrix;
  if (!matrix.cell) return;
  const [row, column] = matrix.cell;
  const place = row * num + column;
  const value = matrix.similarities[place];
  const kind = row === column ? "itself" : row === (column ^ 1) ? "positive pair" : "negative";
  const two = element("div", "two");
  for (const which of [row, column]) {
    const figure = element("figure");
    figure.append(tileOf(matrix, which, 84), element("figcaption", "", viewName(matrix, which)));
    two.append(figure);
  }
  const words = element("p", "value");
  words.append(element("b", "", number(value)), element("span", "", ` cosine, ${kind}`));
  if (kind === "negative") words.append(element("span", "", `, weight ${percent(matrix.now.weights[place])}`));
  const order = [...Array(num).keys()]
    .filter((k) => k !== row && k !== (row ^ 1))
    .sort((a, b) => matrix.similarities[row * num + b] - matrix.similarities[row * num + a])
    .slice(0, MOST_BARS);
  const bars = element("div", "bars");
  bars.append(element("p", "small", `What pushes ${viewName(matrix, row)} away, of ${num - 2} negatives`));
  const heaviest = matrix.now.weights[row * num + order[0]] || 1;
  for (const k of order) {
    const weight = matrix.now.weights[row * num + k];
    const line = element("div", "bar");
    const track = element("span", "track");
    const fill = element("span", "fill");
    fill.style.width = `${(100 * weight) / Math.max(heaviest, 1e-12)}%`;
    track.append(fill);
    line.append(tileOf(matrix, k, 26), track, element("span", "share", percent(weight)));
    line.title = `${viewName(matrix, k)}: cosine ${number(matrix.similarities[row * num + k])}`;
    bars.append(line);
  }
  detail.replaceChildren(two, words, bars);
  matrix.said.textContent = `${viewName(matrix, row)} and ${viewName(matrix, column)}: cosine ${number(value)}, ${kind}`;
}

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

/** @param {Matrix} matrix */
function legend(matrix) {
  const { low, highest, mode } = matrix;
  const isDark = theme(matrix.node).dark;
  const colors = [0, 0.25, 0.5, 0.75, 1].map((share) => cssColor(ramp(share, isDark)));
  const bar = element("span", "ramp");
  bar.style.background = `linear-gradient(90deg, ${colors.join(", ")})`;
  const ends = mode === "similarity" ? [low.toFixed(2), highest.toFixed(2)] : ["no weight", "heaviest"];
  const key = (/** @type {string} */ className, /** @type {string} */ text) => {
    const node = element("span", "key");
    node.append(element("span", className), element("span", "", text));
    return node;
  };
  const marks = matrix.data.marks.length ? [key("square mark", "likely false negatives")] : [];
  matrix.legend.replaceChildren(
    element("span", "", ends[0]),
    bar,
    element("span", "", ends[1]),
    key("square pair", "the two views of an image"),
    ...marks,
  );
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
