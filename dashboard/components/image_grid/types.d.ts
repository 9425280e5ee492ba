import type { Component, Tile } from "../common/types.js";

export interface Item {
  row: number;
  id: number;
  name: string;
  caption?: string;
  color?: string;
  mark?: boolean;
  open?: boolean;
}

export interface ImageGridData {
  items: Item[];
  sheets: string[];
  tile: Tile;
  side: number;
  height: number;
}

export interface ImageGrid {
  component: Component<ImageGridData>;
  node: HTMLDivElement;
  stamp?: string;
}
