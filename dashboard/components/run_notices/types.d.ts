/** A run that this session has seen end, `at` a second; an address leads to it. */
export interface Ended {
  id: string;
  at: number;
  title: string;
  text: string;
  href: string;
}

export interface NoticesData {
  /** Whether a run is going on. */
  is_active: boolean;
  ended: Ended[];
}
