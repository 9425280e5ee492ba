import type { Component } from "../common/types.js";

export interface Item {
  id: string;
  title: string;
  sub: string;
  words: string;
  color: string;
  dash: string;
  active: boolean;
  experiment: string;
  section: string;
}

export interface PickerData {
  items: Item[];
  picked: string[];
  most: number;
}

export interface Picker {
  component: Component<PickerData>;
  data: PickerData;
  node: HTMLDivElement;
  search: HTMLInputElement;
  count: HTMLButtonElement;
  list: HTMLElement;
  boxes: Map<string, HTMLInputElement>;
  /** Only what is chosen is listed. */
  only: boolean;
  /** What was chosen at first. */
  first: Set<string>;
  picked: Set<string>;
  drawn: string;
  timer?: number;
}

/** Label, help, and the ids that are chosen then. */
export type Quick = [string, string, (picker: Picker) => string[]];
