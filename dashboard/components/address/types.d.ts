/** What a page shows now, for the address. */
export interface AddressData {
  /** Without the question mark. */
  query: string;
  /** The query that the server read when the page was opened. */
  asked: string;
  /** Last part of the path of this page, and of all that have one. */
  page: string;
  pages: string[];
  /** Another one each time that a page is opened. */
  visit: string;
  /** No page was opened before in this session. */
  is_first: boolean;
  /** Rises with each call. */
  order: number;
}

/** Another page is to be opened. */
export interface Leaving {
  href: string;
  /** In place of this entry of the history. */
  instead: boolean;
  token: string;
}
