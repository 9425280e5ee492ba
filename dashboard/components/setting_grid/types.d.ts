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
  /** Of labels, as addresses that hold them. */
  pictures: Record<string, string>;
}

export interface Grid {
  node: HTMLDivElement;
  drawn: string;
}
