export interface LineData {
  /** Finite, at least two. */
  values: number[];
  label: string;
}

export interface Line {
  node: HTMLDivElement;
  drawn: string;
}
