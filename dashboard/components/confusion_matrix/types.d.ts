export interface ConfusionData {
  rows: string[];
  columns: string[];
  /** Per cent of each row. */
  shares: number[][];
  counts: number[][];
}

export interface Confusion {
  node: HTMLDivElement;
  drawn: string;
}
