export interface Given {
  path: string;
  file: File;
}

export interface DropData {
  /** Classes of the uploader of folders, and of the one that takes archives. */
  places: [string, string];
  maxBytes: number;
  maxFiles: number;
}

export interface Drop {
  node: HTMLElement;
  data: DropData;
  onDrop(event: DragEvent): void;
  onChange(event: Event): void;
}
