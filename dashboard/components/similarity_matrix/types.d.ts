import type { Component } from "../common/types.js";

export interface Mark {
  row: number;
  column: number;
  similarity: number;
  words: string;
}

export interface MatrixData {
  similarities: string;
  titles: string[];
  sprite: string;
  columns: number;
  marks: Mark[];
  temperature: number;
  low: number;
  high: number;
  revision: string;
}

export interface Contrast {
  loss: number;
  weights: Float64Array;
  effective: number;
}

export type FactName = "loss" | "chance" | "effective" | "marked";

export interface Matrix {
  component: Component<MatrixData>;
  data: MatrixData;
  /** The revision that is shown. */
  drawn: string;
  mode: "similarity" | "weights";
  num: number;
  similarities: Float32Array;
  low: number;
  highest: number;
  temperature: number;
  now: Contrast;
  /** Row and column. */
  cell?: [number, number];
  node: HTMLDivElement;
  canvas: HTMLCanvasElement;
  /** One pixel for each cell. */
  small: HTMLCanvasElement;
  slider: HTMLInputElement;
  read: Record<FactName | "temperature", HTMLElement>;
  legend: HTMLElement;
  detail: HTMLElement;
  said: HTMLElement;
  observer?: ResizeObserver;
}
