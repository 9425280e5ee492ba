export interface Column {
  key: string;
  label: string;
  align?: string;
  rank?: number;
  help?: string;
  wrap?: boolean;
  sortable?: boolean;
}

export interface Cell {
  text: string;
  sort?: string | number | null;
  state?: string;
  sub?: string;
  title?: string;
  strong?: boolean;
  color?: string;
}

export type Row = { href?: string; tight?: boolean; best?: boolean } & Record<string, any>;

export interface TableData {
  columns: Column[];
  rows: Row[];
  sort: string;
}

export interface Table {
  node: HTMLDivElement;
  drawn: string;
  data: TableData;
  /** Key of a column, and whether the largest comes first. */
  sort: [string, boolean];
}
