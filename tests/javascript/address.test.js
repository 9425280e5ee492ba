import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const ORIGIN = "http://127.0.0.1:8501";
let listened = 0;
let visits = 0;

/** A browser's bar and its history, as far as they are used. */
class Bar {
  constructor(/** @type {string} */ href) {
    this.entries = [{ href: ORIGIN + href, state: /** @type {any} */ ({}) }];
    this.place = 0;
  }
  get location() {
    return new URL(this.entries[this.place].href);
  }
  get history() {
    const bar = this;
    return {
      get state() {
        return bar.entries[bar.place].state;
      },
      /** @param {any} state @param {string} _ @param {string | URL} href */
      replaceState(state, _, href) {
        bar.entries[bar.place] = { href: new URL(href, ORIGIN).href, state };
      },
      /** @param {any} state @param {string} _ @param {string | URL} href */
      pushState(state, _, href) {
        bar.entries.splice(++bar.place, Infinity, { href: new URL(href, ORIGIN).href, state });
      },
    };
  }
  /** @param {string} _ @param {() => void} listener */
  addEventListener(_, listener) {
    this.listener = listener;
  }
  dispatchEvent() {
    listened += 1;
    this.listener?.();
  }
  back() {
    this.place -= 1;
    this.listener?.();
  }
  get shown() {
    return this.entries[this.place].href.slice(ORIGIN.length);
  }
}

/** @type {any} */ (globalThis).PopStateEvent = class {};
let state = "notRunning";
mock.timers.enable({ apis: ["setTimeout"] });
const { isOwn } = await import("../../dashboard/components/common/leaving.js");
const { default: address } = await import("../../dashboard/components/address/address.js");

/** @param {string} href */
function open(href) {
  const bar = new Bar(href);
  /** @type {any} */ (globalThis).window = bar;
  /** @type {any} */ (globalThis).document = {
    querySelector: () => ({ getAttribute: () => state }),
    get baseURI() {
      return bar.location.href;
    },
  };
  listened = 0;
  visits += 1;
  return bar;
}

/** @param {{ order?: number } & Record<string, any>} more */
function show({ order = 1, ...more }) {
  const own = { query: "", asked: "", page: "curves", pages: ["curves", "run"], visit: `v${visits}`, is_first: false };
  address(/** @type {any} */ ({ data: { ...own, ...more, order: 100 * visits + order } }));
}

beforeEach(() => {
  visits += 10;
});

test("what is shown is written in place", () => {
  const bar = open("/curves");
  show({ query: "x=step" });
  show({ query: "x=time", order: 2 });
  assert.equal(bar.shown, "/curves?x=time");
  assert.equal(bar.entries.length, 1);
  assert.equal(listened, 0);
});

test("what comes late is not written", () => {
  const bar = open("/curves");
  show({ query: "x=time", order: 5 });
  show({ query: "x=step", order: 4 });
  show({ query: "x=step", order: 5 });
  assert.equal(bar.shown, "/curves?x=time");
});

test("an entry that Back led to is left alone by the page that was there", () => {
  const bar = open("/run?id=a");
  const visit = `v${visits}`;
  show({ page: "run", query: "id=a", asked: "id=a" });
  bar.history.pushState({}, "", "/run?id=b");
  show({ page: "run", query: "id=b", asked: "id=b", visit: "other", order: 2 });
  bar.place = 0;
  show({ page: "run", query: "id=b&epoch=3", asked: "id=b", visit: "other", order: 3 });
  assert.deepEqual([bar.shown, bar.entries[0].state.visit], ["/run?id=a", visit]);
  show({ page: "run", query: "id=a&epoch=1", asked: "id=a", visit: "third", order: 4 });
  assert.equal(bar.shown, "/run?id=a&epoch=1");
});

test("another page is never written over", () => {
  const bar = open("/run?id=a");
  show({ query: "x=step" });
  assert.equal(bar.shown, "/run?id=a");
  const first = open("/hub/user/");
  show({ page: "", query: "filter-text=a" });
  assert.equal(first.shown, "/hub/user/?filter-text=a");
});

test("a server that knows an older address is told the one there is, once", () => {
  const bar = open("/curves?x=time&runs=a+b");
  show({ query: "x=step", asked: "x=step" });
  assert.deepEqual([bar.shown, listened], ["/curves?x=time&runs=a+b", 0]); // of a page that was left again
  show({ query: "x=step", asked: "x=step", is_first: true });
  assert.deepEqual([bar.shown, listened], ["/curves?x=time&runs=a+b", 1]);
  // a click that came before it heard of this: what it shows then is of the older address
  show({ query: "x=step&splits=val", asked: "x=step", is_first: true, order: 2 });
  assert.deepEqual([bar.shown, listened], ["/curves?x=time&runs=a+b", 1]);
  show({ query: "x=time&runs=a+b&y=1", asked: "x=time&runs=a+b", visit: "heard", order: 3 });
  assert.deepEqual([bar.shown, listened], ["/curves?x=time&runs=a+b&y=1", 1]);
});

test("each server that comes after another is told the address there is", () => {
  const bar = open("/curves?x=time");
  show({ query: "x=step", asked: "x=step", is_first: true, visit: "second" });
  show({ query: "x=step", asked: "x=step", is_first: true, visit: "third" });
  assert.deepEqual([bar.shown, listened], ["/curves?x=time", 2]);
});

test("a server that comes back to an entry it wrote before is told what stands there now", () => {
  const bar = open("/curves?x=step");
  show({ query: "x=step&y=1", asked: "x=step" });
  const anew = 2 - 100 * visits; // it counts from one again
  show({ query: "x=step&y=2", asked: "x=step", is_first: true, visit: "new", order: anew });
  assert.deepEqual([bar.shown, listened], ["/curves?x=step&y=1", 1]);
  show({ query: "x=step&y=3", asked: "x=step&y=1", visit: "newer", order: anew + 1 });
  assert.deepEqual([bar.shown, listened], ["/curves?x=step&y=3", 1]);
});

test("the order of parameters, empty ones and Streamlit's own are no difference", () => {
  const bar = open("/curves?b=2&embed=true&a=1&c=");
  show({ query: "a=1&b=3", asked: "a=1&b=2" });
  assert.deepEqual([bar.shown, listened], ["/curves?a=1&b=3&embed=true", 0]);
});

test("another page is opened once, as one entry or instead of this one", () => {
  const bar = open("/curves");
  const leave = (/** @type {object} */ data) => address(/** @type {any} */ ({ data }));
  leave({ href: "/run?id=a", instead: false, token: `t${visits}` });
  leave({ href: "/run?id=a", instead: false, token: `t${visits}` });
  assert.deepEqual([bar.entries.length, bar.shown, listened], [2, "/run?id=a", 1]);
  leave({ href: "/run?id=a", instead: false, token: `u${visits}` });
  leave({ href: "/", instead: true, token: `w${visits}` });
  assert.deepEqual([bar.entries.length, bar.shown, listened], [2, "/", 3]);
});

/** Back is pressed, from one run to the one before. */
function goBack() {
  const bar = open("/run?id=a");
  show({ page: "run", query: "id=a", asked: "id=a", visit: "first" });
  bar.history.pushState({}, "", "/run?id=b");
  show({ page: "run", query: "id=b", asked: "id=b", visit: "second", order: 2 });
  bar.back();
  return bar;
}

test("a press on Back that the server did not hear of is told again, three times", () => {
  const bar = goBack();
  mock.timers.tick(1999);
  show({ page: "run", query: "id=b&epoch=3", asked: "id=b", visit: "second", order: 3 }); // of the page before
  assert.equal(listened, 0);
  mock.timers.tick(1);
  assert.equal(listened, 1);
  mock.timers.tick(4000);
  assert.equal(listened, 2);
  mock.timers.tick(100_000);
  assert.deepEqual([listened, bar.entries.length, bar.shown], [3, 2, "/run?id=a"]);
});

test("a press on Back that was answered, or is being answered, is not told again", () => {
  const bar = goBack();
  mock.timers.tick(1000);
  show({ page: "run", query: "id=a&epoch=1", asked: "id=a", visit: "third", order: 3 });
  mock.timers.tick(100_000);
  assert.deepEqual([listened, bar.shown], [0, "/run?id=a&epoch=1"]);
  goBack();
  state = "running";
  mock.timers.tick(100_000);
  assert.equal(listened, 0);
  state = "notRunning";
  mock.timers.tick(2000);
  assert.equal(listened, 1);
  show({ page: "run", query: "id=a&epoch=1", asked: "id=a", visit: "fourth", order: 3 });
  mock.timers.tick(100_000);
  assert.equal(listened, 1);
});

test("a prefix that only the browser knows stays before every address", () => {
  for (const page of ["", "curves?x=step"]) {
    const bar = open(`/user/me/proxy/8501/${page}`);
    const leave = (/** @type {string} */ href) =>
      address(/** @type {any} */ ({ data: { href, instead: false, token: `${page}${href}${visits}` } }));
    leave("run?id=a");
    assert.equal(bar.shown, "/user/me/proxy/8501/run?id=a");
    leave("./");
    assert.equal(bar.shown, "/user/me/proxy/8501/");
    leave("./?filter-text=a");
    assert.equal(bar.shown, "/user/me/proxy/8501/?filter-text=a");
  }
});

test("a prefix that is called as a page is none", () => {
  const bar = open("/me/curves/");
  show({ page: "", query: "filter-text=a" });
  assert.equal(bar.shown, "/me/curves/?filter-text=a");
});

test("only addresses of this server are its own", () => {
  open("/user/me/curves");
  assert.deepEqual(["run?id=a", "./", "/run", "//other/run", "https://other/", "javascript:1", "http://["].map(isOwn), [
    true,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});
