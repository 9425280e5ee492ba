import type { Component } from "../common/types.js";

/** Left, top, width and height of a crop, as shares of the original. */
export type Crop = [number, number, number, number];

export interface ViewsData {
  mode: "views";
  revision: string;
  sprite: string;
  originals: string;
  /** Of the two columns, where they are no views. */
  names?: string[];
  rows: { title: string; words: [what: string, value: string][][]; boxes: (Crop | null)[] }[];
}

export interface StepsData {
  mode: "steps";
  revision: string;
  title: string;
  sprite: string;
  original: string;
  views: { box: Crop | null; steps: [title: string, value: string, applied: boolean][] }[];
}

export interface Arm {
  partner: number;
  rival: [name: string, share: number] | null;
  /** Per view and channel the shares of each bin, in thousandths. */
  histograms: number[][][];
}

export interface ShortcutData {
  mode: "shortcut";
  revision: string;
  sprite: string;
  arms: string[];
  rows: { title: string; arms: Arm[] }[];
}

export interface PickerData {
  mode: "picker";
  revision: string;
  sprite: string;
  items: { number: number; title: string }[];
  picked: number[];
  most: number;
}

export type ViewGridData = ViewsData | StepsData | ShortcutData | PickerData;

export interface ViewGrid {
  component: Component<ViewGridData>;
  node: HTMLDivElement;
  /** Mode and revision that are shown. */
  drawn: string;
  picked: number[];
  /** Addresses of pictures by the text they came as. */
  files: Map<string, string>;
}
