// What moves in a report: the theme, curves that can be enlarged, and maps that show their images. Nothing is fetched: all
// of it is in the file. Text reaches the page through textContent, and plotly, which reads some HTML, gets it escaped.

/**
 * @typedef {object} Panel A map of one encoder.
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} note
 * @property {Record<string, Uint16Array>} maps by method
 * @property {Record<string, string>} notes
 * @property {number[]} window left, top, right and bottom of what is seen
 * @property {number[] | null} start of the part that is dragged over
 * @property {number[] | null} end
 */
/**
 * @typedef {object} Images What the maps of the same images share.
 * @property {{maps: Record<string, string>, notes: Record<string, string>}[]} panels
 * @property {number[]} labels
 * @property {number[]} ids
 * @property {string[]} classes
 * @property {string[]} colors
 * @property {{src: string, side: number, columns: number, count: number} | null} sheet
 * @property {string} first method
 */

/** @param {string} selector @returns {any} the element that the page has there */
const one = (selector) => document.querySelector(selector);
/** @param {string} selector @param {ParentNode} within @returns {any[]} */
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const root = document.documentElement;
const data = JSON.parse(one("#data").textContent);
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const PRINTED_CHART = { width: 330, height: 190 };

/** @param {string} name @returns {string} a colour of the page as it is now */
const shade = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

// --- theme -----------------------------------------------------------------------------------------------------------

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
const themeButton = one("#theme");

function showTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  paintCharts();
  for (const set of mapSets) set.draw();
}

// --- curves ----------------------------------------------------------------------------------------------------------

/** @type {{node: HTMLElement, figure: any}[]} */
const charts = all(".chart").map((node) => ({ node, figure: data.figures[node.dataset.figure] }));
/** @type {any} */
let plotly = null;
let printing = false;

/** @param {any} figure @param {HTMLElement} node */
function layoutOf(figure, node) {
  const axis = {
    gridcolor: shade("line"),
    linecolor: shade("line"),
    zeroline: false,
    automargin: true,
    tickfont: { color: shade("muted"), size: 11 },
  };
  const text = { color: shade("muted"), size: 11 };
  const { xaxis, yaxis, shapes = [] } = figure.layout;
  return {
    ...(printing ? PRINTED_CHART : { width: node.clientWidth, height: node.clientHeight }),
    xaxis: { ...axis, ...xaxis, title: { ...xaxis.title, font: text, standoff: 6 } },
    yaxis: { ...axis, ...yaxis },
    shapes: shapes.map((/** @type {any} */ shape) => ({
      ...shape,
      line: { ...shape.line, color: shade("muted"), width: 1 },
    })),
    margin: { l: 44, r: 8, t: 8, b: 36 },
    showlegend: false,
    hovermode: "closest",
    dragmode: "zoom",
    uirevision: "keep",
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: shade("text"), size: 12 },
    hoverlabel: {
      bgcolor: shade("page"),
      bordercolor: shade("line"),
      font: { color: shade("text"), size: 12 },
      namelength: -1,
    },
  };
}

function paintCharts() {
  if (!plotly) return;
  for (const { node, figure } of charts) {
    plotly.react(node, figure.data, layoutOf(figure, node), {
      displayModeBar: false,
      displaylogo: false,
      typesetMath: false,
      plotlyServerURL: "",
    });
  }
}

/** Unpacks plotly.js, which the file holds compressed, and runs it: its hash stands in the content policy. */
async function loadPlotly() {
  const packed = one("#plotly");
  if (!packed) return;
  try {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    // It brings the style of street maps, which no figure here is, unless an element with its number is there.
    for (const [, id] of script.textContent.matchAll(/getElementById\("([0-9a-f]{64})"\)/g)) {
      document.head.append(Object.assign(document.createElement("style"), { id }));
    }
    document.head.append(script);
    plotly = window.Plotly;
    paintCharts();
  } catch {
    for (const { node } of charts) node.textContent = "This browser cannot draw the figure.";
  }
}

// --- maps ------------------------------------------------------------------------------------------------------------

const tip = one("#tip");
/** @type {HTMLCanvasElement} */
const tipPicture = one("#tip canvas");
const GRID = 65535;
const REACH = 14; // pixels from the pointer within which a point is shown

/** @param {string} text @returns {Uint16Array} little-endian pairs */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, place) => view.getUint16(2 * place, true));
}

class MapSet {
  /** @param {HTMLElement} node @param {Images} about */
  constructor(node, about) {
    this.about = about;
    this.method = about.first;
    this.chosen = -1; // a class
    this.row = -1; // the image that is pointed at
    /** @type {HTMLImageElement | null} */
    this.sheet = null;
    if (about.sheet) {
      this.sheet = new Image();
      this.sheet.src = about.sheet.src;
    }
    /** @type {Panel[]} */
    this.panels = all("canvas", node).map((canvas, number) => ({
      canvas,
      note: all(`[data-note="${number}"]`, node)[0],
      maps: Object.fromEntries(Object.entries(about.panels[number].maps).map(([name, text]) => [name, unpacked(text)])),
      notes: about.panels[number].notes,
      window: [0, 0, 1, 1], // left, top, right and bottom of what is seen
      start: null,
      end: null,
    }));
    this.methods = all("[data-method]", node);
    this.classes = all("[data-class]", node);
    for (const button of this.methods) {
      button.addEventListener("click", () => {
        this.method = button.dataset.method;
        for (const panel of this.panels) panel.window = [0, 0, 1, 1];
        this.draw();
      });
    }
    for (const button of this.classes) {
      button.addEventListener("click", () => {
        const number = Number(button.dataset.class);
        this.chosen = this.chosen === number ? -1 : number;
        this.draw();
      });
    }
    for (const panel of this.panels) this.listen(panel);
    new ResizeObserver(() => this.draw()).observe(node);
  }

  draw() {
    for (const button of this.methods)
      button.setAttribute("aria-pressed", String(button.dataset.method === this.method));
    for (const button of this.classes)
      button.setAttribute("aria-pressed", String(Number(button.dataset.class) === this.chosen));
    for (const panel of this.panels) this.drawPanel(panel);
  }

  /** The size of a panel, and where a row of it lies there. @param {Panel} panel */
  placing(panel) {
    const side = panel.canvas.clientWidth;
    const [left, top, right, bottom] = panel.window;
    const inset = 14;
    const points = panel.maps[this.method];
    const place = (/** @type {number} */ row) => [
      inset + ((points[2 * row] / GRID - left) / (right - left)) * (side - 2 * inset),
      inset + ((points[2 * row + 1] / GRID - top) / (bottom - top)) * (side - 2 * inset),
    ];
    return { side, place, points, inset };
  }

  /** @param {Panel} panel */
  drawPanel(panel) {
    const { canvas } = panel;
    const { side, place, points } = this.placing(panel);
    panel.note.textContent = points ? panel.notes[this.method] : "This encoder has no such map.";
    if (!side) return;
    const scale = Math.max(window.devicePixelRatio || 1, 2);
    canvas.width = canvas.height = Math.round(side * scale);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(scale, scale);
    if (!points) return;
    const { labels, colors } = this.about;
    const size = labels.length > 2500 ? 1.7 : 2.2;
    const dot = (/** @type {number} */ row, /** @type {number} */ radius) => {
      const [x, y] = place(row);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
    };
    for (const isFront of [false, true]) {
      for (let row = 0; row < labels.length; row += 1) {
        const isMeant = this.chosen < 0 || labels[row] === this.chosen;
        if (isMeant !== isFront) continue;
        pen.globalAlpha = isMeant ? 0.78 : 0.12;
        pen.fillStyle = colors[labels[row]];
        dot(row, size);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    if (this.row >= 0) {
      pen.strokeStyle = shade("text");
      pen.lineWidth = 2;
      dot(this.row, size + 4);
      pen.stroke();
    }
    if (panel.start && panel.end) {
      pen.strokeStyle = shade("primary");
      pen.lineWidth = 1;
      pen.strokeRect(panel.start[0], panel.start[1], panel.end[0] - panel.start[0], panel.end[1] - panel.start[1]);
    }
  }

  /** @param {Panel} panel */
  listen(panel) {
    const { canvas } = panel;
    const at = (/** @type {PointerEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") panel.start = at(event);
      this.point(panel, event, at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (panel.start) {
        panel.end = at(event);
        canvas.setPointerCapture(event.pointerId);
        this.drawPanel(panel);
      } else this.point(panel, event, at(event));
    });
    canvas.addEventListener("pointerup", () => this.enlarge(panel));
    canvas.addEventListener("pointerleave", () => this.point(panel, null, null));
    canvas.addEventListener("dblclick", () => {
      panel.window = [0, 0, 1, 1];
      this.drawPanel(panel);
    });
  }

  /** @param {Panel} panel */
  enlarge(panel) {
    const { start, end } = panel;
    panel.start = panel.end = null;
    if (start && end && Math.abs(end[0] - start[0]) > 8 && Math.abs(end[1] - start[1]) > 8) {
      const { side, inset } = this.placing(panel);
      const [left, top, right] = panel.window;
      const unit = (right - left) / (side - 2 * inset);
      const center = [(start[0] + end[0]) / 2 - inset, (start[1] + end[1]) / 2 - inset];
      const half = (Math.max(Math.abs(end[0] - start[0]), Math.abs(end[1] - start[1])) * unit) / 2;
      const x = left + center[0] * unit;
      const y = top + center[1] * unit;
      panel.window = [x - half, y - half, x + half, y + half];
    }
    this.drawPanel(panel);
  }

  /**
   * Shows the image that is nearest to the pointer, and rings it on all maps.
   * @param {Panel} panel @param {PointerEvent | null} event @param {number[] | null} where
   */
  point(panel, event, where) {
    const { place, points } = this.placing(panel);
    let best = -1;
    let nearest = REACH * REACH;
    if (where && points) {
      for (let row = 0; row < this.about.labels.length; row += 1) {
        if (this.chosen >= 0 && this.about.labels[row] !== this.chosen) continue;
        const [x, y] = place(row);
        const distance = (x - where[0]) ** 2 + (y - where[1]) ** 2;
        if (distance < nearest) {
          nearest = distance;
          best = row;
        }
      }
    }
    if (best !== this.row) {
      this.row = best;
      for (const each of this.panels) this.drawPanel(each);
    }
    tip.hidden = best < 0;
    if (best < 0 || !event) return;
    const { sheet, classes, labels, ids } = this.about;
    const hasTile = sheet && best < sheet.count && this.sheet?.complete;
    tipPicture.hidden = !hasTile;
    if (hasTile && this.sheet) {
      const pen = /** @type {CanvasRenderingContext2D} */ (tipPicture.getContext("2d"));
      pen.imageSmoothingEnabled = false;
      const x = (best % sheet.columns) * sheet.side;
      const y = Math.floor(best / sheet.columns) * sheet.side;
      pen.drawImage(this.sheet, x, y, sheet.side, sheet.side, 0, 0, tipPicture.width, tipPicture.height);
    }
    one("#tip p").textContent = `${classes[labels[best]]}, image ${ids[best]}`;
    const box = tip.getBoundingClientRect();
    const left =
      event.clientX + 18 + box.width > root.clientWidth ? event.clientX - 18 - box.width : event.clientX + 18;
    tip.style.left = `${Math.max(4, left) + window.scrollX}px`;
    tip.style.top = `${Math.max(4, event.clientY - box.height / 2) + window.scrollY}px`;
  }
}

const mapSets = all("[data-maps]").map((node) => new MapSet(node, data.maps[node.dataset.maps]));

// --- all together ----------------------------------------------------------------------------------------------------

themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
systemDark.addEventListener("change", showTheme);
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== width && !printing) paintCharts();
  width = window.innerWidth;
});
// On paper everything is light, and as wide as the page.
/** @type {{theme: string | undefined}} */
const before = { theme: undefined };
window.addEventListener("beforeprint", () => {
  printing = true;
  before.theme = root.dataset.theme;
  root.dataset.theme = "light";
  showTheme();
});
window.addEventListener("afterprint", () => {
  printing = false;
  if (before.theme) root.dataset.theme = before.theme;
  else delete root.dataset.theme;
  showTheme();
});
showTheme();
loadPlotly().then(() => root.setAttribute("data-ready", ""));
