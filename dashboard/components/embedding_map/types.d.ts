import type { Component, Theme, Tile, TypedArray } from "../common/types.js";

export type Numbers = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
/** 1 for each chosen row, else 0. */
export type Choice = Uint8Array<ArrayBuffer>;
export type Mode = "new" | "add" | "remove";
export type Tool = "move" | "lasso";
export type Point = [number, number];
export type Drawing = "points" | "outlines" | "density";

// --- as `embedding_map.described` sends it; arrays by their names ---

export type ColorKind = "class" | "category" | "number" | "cycle" | "share" | "none";

export interface Color {
  label: string;
  kind: ColorKind;
  names: string[];
  colors: string[];
  low: number;
  high: number;
  values: string[];
}

export interface PanelData {
  title: string;
  subtitle: string;
  note?: string;
  stats: { value: string; label: string; help: string }[];
  points?: string;
  frames?: string;
  /** Radius around (0, 0) that the map shows; without it, what the points take. */
  extent?: number;
  neighbors?: string;
  similarities?: string;
}

/** Row and similarity of a neighbour, and whether the other model has it as well, where the server knows. */
export type Neighbor = [row: number, similarity: number, shared?: boolean];

export interface Details {
  index: number;
  facts: [label: string, value: string][];
  /** Of each panel; none of a changed image where the model has no encoder. */
  neighbors: (Neighbor[] | null)[];
}

export interface Start {
  token: string;
  image: number;
  selection: string;
  frame: number;
  hidden: number[];
  zoom: [size: number, x: number, y: number][];
  search: string;
  drawing: string;
  tug: string;
}

/** What images can be found by beside their classes and numbers. */
export interface SearchData {
  fields: (Omit<SearchField, "values"> & { values: string })[];
  /** The files' names as UTF-8, one a line. */
  files: string | null;
  /** Rows as a selection's text. */
  tags: { name: string; rows: string }[];
}

/** Images that a user gave: side by side on a sheet, and where they stand on each map. */
export interface GuestData {
  names: string[];
  sheet: string;
  side: number;
  /** Of each panel; none where its model has no encoder. */
  points: (string | null)[];
  /** Where the map puts them; else among their neighbours. */
  exact: boolean;
}

/** An operation: its strengths in words, the one that changes nothing, and the one that images are compared at. */
export interface Operation {
  name: string;
  label: string;
  texts: string[];
  rest: number;
  mark: number;
}

/** One image under L strengths of P operations; arrays of P times L rows by their names. */
export interface TugData {
  /** Of the image among those of the maps; -1 for one that a user gave. */
  row: number;
  name: string;
  operations: Operation[];
  /** Its pictures: a row for each operation. */
  sheet: string;
  side: number;
  /** Images behind the averages. */
  sample: number;
  panels: {
    arrays?: { points: string; moved: string; neighbors: string; similarities: string };
    exact?: boolean;
    average?: number[];
    /** Why there are none, as of a model without an encoder. */
    missing?: string;
  }[];
  /** How the places came about, in words. */
  how: string;
}

export interface MapData {
  key: string;
  revision: string;
  /** Names the list of images: rows of one list mean nothing in another. */
  images: string;
  ids: string;
  labels: string | null;
  classes: { name: string; color: string }[];
  color: Color;
  panels: PanelData[];
  sheets: string[];
  tile: Tile;
  split: string;
  search?: SearchData;
  frame_names?: string[];
  frame_label?: string;
  /** A picture: without tools, and playing from the beginning, so many frames a second. */
  plays?: number;
  /** More frames come while the networks train. */
  grows?: boolean;
  start: Start;
  details?: Details | null;
  guests?: GuestData | null;
  /** Where images can be changed: the operation to begin with, and what was computed or why it cannot be. */
  tug?: ({ first: string; problem?: string } & Partial<TugData>) | null;
  /** Arrays in base64, in a page that has no server. */
  arrays?: Record<string, string>;
}

/** By name; a name that is missing has none. */
export type Arrays = Record<string, any>;

// --- search ---

/** A property of each image: a number, NaN for unknown, or a place in `words`, -1 for none. */
export interface SearchField {
  name: string;
  label: string;
  kind: "number" | "word";
  words: string[];
  /** Least and largest value. */
  low: number;
  high: number;
  values: ArrayLike<number>;
}

export interface Searched {
  count: number;
  ids: ArrayLike<number> & { includes(id: number): boolean };
  labels: ArrayLike<number>;
  classes: string[];
  /** None, or one for each image. */
  files: string[];
  fields: SearchField[];
  tags: { name: string; rows: Choice }[];
}

/** 1 for each row that was found; a sentence where there is none. */
export interface Found {
  rows: Choice;
  number: number;
  error: string;
}

/** The whole text of the field then, the condition it ends with, and what that is. */
export interface Suggestion {
  text: string;
  label: string;
  note: string;
}

export interface Finder {
  node: HTMLElement;
  input: HTMLInputElement;
  list: HTMLElement;
  count: HTMLElement;
  select: HTMLButtonElement;
  clear: HTMLButtonElement;
  message: HTMLElement;
  about: HTMLElement;
  drawingButtons: HTMLButtonElement[];
  /** The suggestion that the arrow keys have come to, -1 for none. */
  active: number;
  /** What was looked for last, and what is said of it. */
  text: string;
  error: string;
  isSaid: boolean;
  timer?: number;
}

// --- geometry and drawing ---

/** Values at the nodes of a grid, line after line from below; (left, low) is the first. */
export interface DensityGrid {
  left: number;
  low: number;
  cell: number;
  columns: number;
  lines: number;
  values: Float32Array;
}

/** An outline in pixels of its panel: closed lines, of which inner ones are holes. */
export interface MapOutline {
  color: string;
  opacity: number;
  rings: Point[][];
}

/** Closed lines of each group, and what they were found from. */
export interface PanelOutlines {
  points: Float32Array;
  groups: Int32Array;
  frame: number;
  rings: Point[][][];
}

export interface Shading {
  frame: number;
  grid: DensityGrid;
  picture: HTMLCanvasElement;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Grid {
  left: number;
  low: number;
  cell: number;
  columns: number;
  rows: number;
  start: Uint32Array;
  items: Uint32Array;
}

/** Pixels for one unit of the map, and where its point (0, 0) stands. */
export interface Place {
  scale: number;
  x: number;
  y: number;
}

export interface Frame extends Place {
  width: number;
  height: number;
}

export interface Surface {
  image: ImageData;
  pixels: Uint32Array;
  width: number;
  height: number;
  margin: number;
}

export type PointsCanvas = HTMLCanvasElement & { surface?: Surface };

/** Half its side, the width of its line, and how round its corners are: a circle where that is half its side. */
export interface Ring {
  index: number;
  size: number;
  line: number;
  corner: number;
}

/** Places of the modes of each group in each frame, and whether they are there; group after group. */
export interface Modes {
  radius: number;
  numFrames: number;
  x: Float32Array;
  y: Float32Array;
  shown: Uint8Array;
  /** It is another place than the one that the frame before leads to. */
  jumps: Uint8Array;
  /** Of each group, images around its mode, on the average of the frames. */
  density: Float32Array;
}

export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The middle of a name, and its size. */
export interface NameBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The name of a class on a panel: as it is written, moved aside by dx, dy, and how far it has come in (0..1). */
export interface NameState {
  name: string;
  words: string;
  width: number;
  color: string;
  isNew: boolean;
  dx: number;
  dy: number;
  on: number;
}

/** `seen`: its opacity. */
export interface PlacedName extends NameBox {
  group: number;
  words: string;
  color: string;
  seen: number;
}

export type Shape = { x: number; y: number; opacity?: number } & (
  | { kind: "text"; words: string; size: number; color: string; weight: number; opacity: number; width?: number }
  | { kind: "circle"; radius: number; fill: string }
  | { kind: "bar"; width: number; height: number; stops: string[] }
  | MapShape
);

export interface MapShape {
  kind: "map";
  panel: Panel;
  x: number;
  y: number;
  width: number;
  height: number;
}

// --- what is kept ---

export interface Panel {
  node: HTMLElement;
  title: HTMLElement;
  subtitle: HTMLElement;
  stats: HTMLElement;
  tools: HTMLElement;
  note: HTMLElement;
  /** The points, and above them the marks, which also take the gestures. */
  picture: PointsCanvas;
  canvas: HTMLCanvasElement;
  zoom: number;
  center: { x: number; y: number };
  box: Box;
  extent?: number;
  /** x and y of each image, and all frames of a film. */
  points: Float32Array<ArrayBuffer>;
  frames: Float32Array<ArrayBuffer> | null;
  /** Between two frames. */
  between: Float32Array<ArrayBuffer> | null;
  grid: Grid | null;
  source?: string;
  /** Pixels of the images' side on its way to what there is room for, and the rows that are drawn as images. */
  side: number;
  rows: number[];
  zoomDrawn?: number;
  names: NameState[];
  outlines?: PanelOutlines;
  shading?: Shading | null;
  /** Null until they are asked for. */
  modes: Modes | null;
  /** 1 for each group of which a point is lit. */
  lit: Uint8Array;
  /** Per image: value of the colouring, group (-1: none), own colour, drawn colour, and HIDDEN, DIM or LIT. */
  values: TypedArray;
  groups: Int32Array;
  own: Uint32Array;
  colors: Uint32Array;
  levels: Uint8Array;
  /** K of each image. */
  neighbors?: Int32Array;
  similarities?: Float32Array;
  hasDim: boolean;
  pointers: Map<number, { at: Point; start: Point; moved: boolean }>;
  lasso: { corners: Point[]; last: Point; mode: Mode } | null;
  /** Its points are to be drawn again. */
  stale: boolean;
  /** What the marks on the canvas were drawn from. */
  stamp: string;
  /** Milliseconds that all points took. */
  cost: number;
  movedAt?: number;
  settle?: number;
}

/** A picture that came as bytes. */
export interface Sheet {
  url: string;
  /** Null until it is read. */
  bitmap: ImageBitmap | null;
  isClosed: boolean;
}

/** `source` names what they were made from. */
export interface Guests {
  source: string;
  sheet: Sheet | null;
  points: (Float32Array | null)[];
  names: string[];
  side: number;
  exact: boolean;
}

export interface LoadedTug {
  given: TugData;
  sheet: Sheet;
  panels: (
    | {
        exact: boolean;
        average: number[];
        points: Float32Array;
        moved: Float32Array;
        neighbors: Int32Array;
        similarities: Float32Array;
      }
    | undefined
  )[];
}

/** `place`: number of the strength. `source` names what was computed. */
export interface TugState {
  isWanted: boolean;
  operation: string;
  place: number;
  source: string;
  loaded: LoadedTug | null;
  waiting: number;
}

export interface EmbeddingMap {
  component: Component<MapData>;
  data: MapData;
  revision?: string;
  stamp: string;
  token?: string;
  theme: Theme;
  panels: Panel[];
  count: number;
  ids: Int32Array;
  labels: Int32Array;
  order: Uint32Array;
  /** Addresses of sheets that came inside the page, and the sheets that images are drawn from. */
  sheets: Map<string, string>;
  bitmaps: Map<string, ImageBitmap | "wanted" | "missing">;
  isReading: boolean;
  guests: Guests;
  tug: TugState;
  tugNode: HTMLElement;
  /** How to read it. */
  tugHow: HTMLElement;
  areNamesWanted: boolean;
  namesBox: HTMLInputElement;
  /** Rows; -1 for none. */
  hovered: number;
  opened: number;
  byKeyboard?: boolean;
  chosen: Choice;
  numChosen: number;
  searched: Searched;
  /** 1 for each image that was found; null where nothing is looked for, or found. */
  found: Choice | null;
  numFound: number;
  finder: Finder;
  drawing: Drawing;
  hidden: Set<number>;
  /** The group whose entry in the legend is pointed at. */
  focus: number | null;
  frame: number;
  numFrames: number;
  tool: Tool;
  /** Nothing is told to the server. */
  quiet?: boolean;
  delay?: number;
  timer?: number;
  waiting?: number;
  playing?: number;
  /** On its way to a frame that has just come. */
  gliding?: number;
  node: HTMLElement;
  holder: HTMLElement;
  film: HTMLElement;
  play: HTMLButtonElement;
  slider: HTMLInputElement;
  frameLabel: HTMLElement;
  frameName: HTMLElement;
  legend: HTMLElement;
  legendItems: { item: HTMLButtonElement; number: HTMLElement }[];
  showAll: HTMLButtonElement;
  hint: HTMLElement;
  details: HTMLElement;
  said: HTMLElement;
  tip: HTMLElement;
  help: HTMLElement;
  ask: HTMLButtonElement;
  status: HTMLElement;
  clear: HTMLButtonElement;
  toolButtons: Record<Tool, HTMLButtonElement>;
  resize: ResizeObserver;
  darkness: MediaQueryList;
  onArrays(): void;
  onTheme(): void;
}
