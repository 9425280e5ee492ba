export interface GridCell {
  text: string;
  sub?: string;
  /** Shades the cell, 0 to 1. */
  value?: number;
  href?: string;
  title?: string;
  best?: boolean;
}

export interface GridData {
  rows: string[];
  columns: string[];
  cells: (GridCell | null)[][];
}

export interface Grid {
  node: HTMLDivElement;
  drawn: string;
}
