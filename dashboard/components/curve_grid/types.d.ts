import type { Component, Plotly, PlotlyNode } from "../common/types.js";

export type Numbers = Float32Array<ArrayBuffer>;
export type Field = "x" | "y" | "raw_x" | "raw_y" | "low" | "high";

/** A line as it is sent: packed numbers; which chart and run it belongs to, and which column it is. */
export type SentLine = { [field in Field]?: string } & {
  chart: string;
  run: string;
  column: string;
  part?: string;
  /** thin: of training, or the second of two lines */
  faint?: boolean;
  /** dotted: the second of two lines that are measured together, such as that of z beside that of h */
  second?: boolean;
  num_runs?: number;
};

/** The same with its numbers; `raw_x` and `raw_y` come together, and so do `low` and `high`. */
export type Line = Omit<SentLine, Field> & { [field in Field]: Numbers } & { sent: SentLine };

export interface Look {
  color: string;
  dash: string;
  faint?: boolean;
}

export interface Spec {
  id: string;
  title: string;
  help: string;
  empty: string;
  percent: boolean;
  digits: number | null;
  log: boolean;
  log_x: boolean;
  better: string;
  marks: Marks | null;
}

/** A level with its name, and where lines come to it. */
export interface Marks {
  level: number;
  text: string;
  points: { x: number; y: number; color: string }[];
}

export interface Run {
  id: string;
  title: string;
  color: string;
  dash: string;
}

export interface GridData {
  mode: "grid";
  key: string;
  base: string;
  plotly: string;
  charts: Spec[];
  runs: Run[];
  lines: SentLine[];
  x_title: string;
  x_name: string;
  height: number;
  large_height: number;
  large: string;
}

export interface UpdateData {
  mode: "update";
  key: string;
  base: string;
  lines: SentLine[];
}

export interface Card {
  grid: Grid;
  id: string;
  spec: Spec;
  lines: Line[];
  visible: boolean;
  /** To be drawn when it is its turn, and not before `notBefore`. */
  dirty?: boolean;
  notBefore: number;
  width?: number;
  /** x of the values that are read. */
  place: number;
  frame?: number;
  listens?: boolean;
  node: HTMLElement;
  title: HTMLElement;
  note: HTMLElement;
  enlarge: HTMLButtonElement;
  plot: PlotlyNode & { drawMs?: number };
  cursor: HTMLElement;
  tooltip: HTMLElement;
  empty: HTMLElement;
}

export interface Grid {
  key: string;
  /** Ranges by the name of what is drawn. */
  zooms: Map<string, { xaxis: number[]; yaxis: number[] }>;
  component: Component<GridData>;
  data: GridData;
  base: string;
  large: string;
  lines: Map<string, Line>;
  runs: Map<string, Run>;
  cards: Map<string, Card>;
  plotly?: Plotly;
  node: HTMLElement | null;
  parent: HTMLElement | null;
  unmount: (() => void) | null;
  sight: IntersectionObserver;
  resize: ResizeObserver;
  dark: MediaQueryList;
  onTheme(): void;
}

export interface Reading {
  line: Line;
  value: number;
  low?: number;
  high?: number;
}
