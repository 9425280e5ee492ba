import type { FrameDetail, Plotly, PlotlyNode } from "../common/types.js";

export interface ChartData {
  figure: string;
  revision: string;
  plotly: string;
  /** What the chart shows, in a sentence. */
  label: string;
  height: number;
}

export interface Chart {
  node: HTMLDivElement & PlotlyNode;
  figure: string;
  revision: string;
  height: number;
  plotly?: Plotly;
  /** Revision, colours and height that are shown. */
  drawn: string;
  timer?: ReturnType<typeof setTimeout>;
  width?: number;
  resize: ResizeObserver;
  dark: MediaQueryList;
  onTheme(): void;
  onFrame(event: CustomEvent<FrameDetail>): void;
}
