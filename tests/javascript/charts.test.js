import assert from "node:assert/strict";
import { test } from "node:test";

import { drawChart, endChart } from "../../dashboard/components/common/plotly.js";

/** Plotly, as far as its drawing ends with an event, and purging takes a chart's events away. */
function library() {
  const log = /** @type {string[]} */ ([]);
  const plotly = /** @type {any} */ ({
    react(/** @type {any} */ node) {
      node.emit = (/** @type {string} */ event) => log.push(event);
      return Promise.resolve().then(() => node.emit("plotly_react"));
    },
    purge(/** @type {any} */ node) {
      log.push("purge");
      delete node.emit;
    },
  });
  return { log, plotly, node: /** @type {any} */ ({}) };
}

test("a chart that is removed as soon as it was drawn lets the drawing end", async () => {
  const { log, plotly, node } = library();
  drawChart(plotly, node, [], {}, {});
  await endChart(plotly, node);
  assert.deepEqual(log, ["plotly_react", "purge"]);
});

test("a chart whose drawing failed, or that was never drawn, is removed all the same", async () => {
  const { log, plotly, node } = library();
  await endChart(plotly, node);
  drawChart({ ...plotly, react: () => Promise.reject(new Error("no room")) }, node, [], {}, {});
  await endChart(plotly, node);
  assert.deepEqual(log, ["purge", "purge"]);
});
