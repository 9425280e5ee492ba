export interface GridHead {
  label: string;
  picture?: string;
}

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
  rows: GridHead[];
  columns: GridHead[];
  cells: (GridCell | null)[][];
}

export interface Grid {
  node: HTMLDivElement;
  drawn: string;
}
