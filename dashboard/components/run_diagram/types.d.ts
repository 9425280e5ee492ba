import type { Component } from "../common/types.js";

export interface Stage {
  title: string;
  note: string;
  href: string;
  about: string;
  images?: string[];
  network?: string;
  vectors?: number[][];
  matrix?: number[][];
  value?: string;
  shares?: [string, number][];
  empty?: "image" | "images" | "vector" | "vectors" | "matrix" | "shares";
}

export interface DiagramData {
  stages: Stage[];
  wanted: boolean;
}

export interface Diagram {
  node: HTMLElement;
  drawn: string;
  component: Component<DiagramData>;
  /** A figure without its pictures has been in sight. */
  asked: boolean;
  observer: IntersectionObserver;
}
