import type { Component } from "../common/types.js";

/** Values of a column in the order of the rows; of words their places in `words`. */
export interface Packed {
  values: (number | null)[];
  words?: string[];
  /** What stands small beside each value, likewise; -1 for nothing. */
  notes?: number[];
  noteWords?: string[];
}

export interface GridColumn {
  name: string;
  label: string;
  /** `words`, `state`, `share`, `number`, `seconds`, `moment` or `epochs` (of so many, which are the notes). */
  kind: string;
  help: string;
  /** 1 stays longest on a narrow screen. */
  rank: number;
  /** Of the rows, those that are best by this of their data set, with the sentence that says so. */
  best?: Record<string, string>;
  /** What the others are compared with: the value, and the place of its measure among the notes. */
  baseline?: [number, number];
}

/** All rows, newest first; sent as JSON text, so that equal ones are known by one comparison. */
export interface Rows {
  ids: string[];
  titles: string[];
  subs: string[];
  /** 1: active, 2: an example. */
  flags: number[];
  cells: Record<string, Packed>;
  /** Place of each row's group. */
  groups: number[];
}

export interface RowGroup {
  key: string;
  label: string;
  count: number;
  /** By column what stands at its head: texts of mean and deviation, and the mean to sort by. */
  spreads: Record<string, { texts: string[]; mean: number }>;
}

export interface GridData {
  /** Names the table for as long as the page is loaded. */
  name: string;
  columns: GridColumn[];
  /** Nobody chose the columns: on a narrow page the less important ones give way. */
  isUsual: boolean;
  rows: string;
  groups: RowGroup[] | null;
  total: number;
  sort: string;
  tags: string[];
  baseline: { id: string; title: string } | null;
  colors: Record<string, string>;
  /** What can be done with runs: `runs`, or those of the trash: `trash`. */
  mode: string;
  /** Addresses of the pages, as this server has them. */
  pages: { run: string; curves: string; embeddings: string };
  /** Counts what was done, so that the bar knows when the answer is there. */
  answer: number;
}

/** What is drawn in one line: the head of a group, or a row by its place. */
export type Line = { group: RowGroup; place: number } | { row: number };

/** What a table remembers for as long as the page is loaded, also when another page was open meanwhile. */
export interface Memory {
  picked: Set<string>;
  closed: Set<string>;
  top: number;
}

export interface Grid {
  component: Component<GridData>;
  data: GridData;
  rows: Rows;
  placeOf: Map<string, number>;
  lines: Line[];
  drawnLines: Map<HTMLElement, Line>;
  /** Room for the lines that are out of sight, above and below. */
  spacers?: [HTMLTableRowElement, HTMLTableRowElement];
  /** Columns that have room. */
  columns: GridColumn[];
  widths: Map<string, number>;
  /** For which rows, and on which screen, the widths were found. */
  measured: Rows | null;
  measuredNarrow: boolean;
  sort: string;
  memory: Memory;
  /** Id of the run from which a range begins. */
  anchor: string | null;
  /** The line that the keyboard is at. */
  active: number;
  /** A pointer is down: what is under it stays until it is up. */
  held: boolean;
  waiting: boolean;
  isNarrow: boolean;
  /** What the bar asks for: "", tag, rename, delete, stop, restore, purge. */
  asks: string;
  sent: number;
  node: HTMLDivElement;
  bar: HTMLDivElement;
  barStamp: string;
  scroller: HTMLDivElement;
  table: HTMLTableElement;
  head: HTMLTableSectionElement;
  body: HTMLTableSectionElement;
  groupsStamp: string;
  columnsStamp: string;
  timer?: number;
  watcher?: ResizeObserver;
}
