/** What Streamlit hands a component, each time that its data change. */
export interface Component<Data> {
  data: Data;
  parentElement: HTMLElement;
  setStateValue(name: string, value: unknown): void;
  setTriggerValue(name: string, value: unknown): void;
}

/** Red, green and blue, 0..255. */
export type Rgb = [number, number, number];

export interface Theme {
  background: string;
  text: string;
  border: string;
  primary: string;
  font: string;
  dark: boolean;
}

export type TypedArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** How images lie on their sheets: pixels of a tile's side, tiles of a row and of a sheet. */
export interface Tile {
  side: number;
  columns: number;
  per_sheet: number;
}

// plotly.js comes without types: only what is called here.

export interface Figure {
  data: any[];
  layout: Record<string, any>;
}

export interface PlotlyNode extends HTMLElement {
  layout: any;
  _fullLayout: any;
  on(event: string, listener: (event?: any) => void): void;
}

export interface Plotly {
  react(node: HTMLElement, data: any[], layout: object, config: object): Promise<unknown>;
  relayout(node: HTMLElement, changes: object): void;
  purge(node: HTMLElement): void;
  downloadImage(figure: Figure, options: object): Promise<string>;
  Plots: { resize(node: HTMLElement): void };
}

/** A film has come to another frame: `key` names the maps. */
export interface FrameDetail {
  key: string;
  frame: number;
  name: string;
}

declare global {
  interface Window {
    /** Arrays by name, for all components of the page. */
    simclrArrays?: Map<string, TypedArray>;
    simclrPlotly?: Promise<Plotly> | null;
    Plotly?: Plotly;
  }
  interface WindowEventMap {
    "simclr-frame": CustomEvent<FrameDetail>;
  }
}
