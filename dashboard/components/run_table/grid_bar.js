// The line above a table: how many runs there are, and what can be done with those that are selected.

import { button, element } from "../common/elements.js";
import { helpMark } from "../common/help.js";
import { openAddress } from "../common/leaving.js";

/** @import { Grid } from "./types.js" */

const MAX_CURVES = 200;
const ACTIVE = 1;
const EXAMPLE = 2;

const runsText = (/** @type {number} */ count) => `${count.toLocaleString("en")} run${count === 1 ? "" : "s"}`;

/** @param {Grid} grid */
function pickedRuns(grid) {
  const { rows, memory, placeOf } = grid;
  const places = [...memory.picked].map((id) => placeOf.get(id) ?? -1).filter((row) => row >= 0);
  places.sort((a, b) => a - b);
  return places.map((row) => ({
    id: rows.ids[row],
    title: rows.titles[row],
    isActive: Boolean(rows.flags[row] & ACTIVE),
    isExample: Boolean(rows.flags[row] & EXAMPLE),
  }));
}

/** @param {Grid} grid @param {string} what @param {string} [text] */
function act(grid, what, text) {
  grid.sent = grid.data.answer + 1;
  grid.component.setTriggerValue("action", { what, ids: pickedRuns(grid).map((run) => run.id), text: text ?? "" });
  ask(grid, "");
}

/** @param {Grid} grid @param {string} what */
function ask(grid, what) {
  grid.asks = what;
  drawBar(grid);
  const field = grid.bar.querySelector("input") || grid.bar.querySelector("button.main");
  if (what && field instanceof HTMLElement) field.focus();
  else if (!what) grid.table.focus({ preventScroll: true });
}

/** @param {Grid} grid @param {string} label @param {string} value @param {[string, string][]} actions @param {string[]} known */
function field(grid, label, value, actions, known) {
  const input = element("input");
  input.type = "text";
  input.value = value;
  input.placeholder = label;
  input.maxLength = 200;
  input.setAttribute("aria-label", label);
  const parts = [input];
  if (known.length) {
    const list = element("datalist");
    list.id = `${grid.data.name}-known`;
    for (const word of known) {
      const option = element("option");
      option.value = word;
      list.append(option);
    }
    input.setAttribute("list", list.id);
    parts.push(/** @type {any} */ (list));
  }
  input.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Enter") act(grid, actions[0][1], input.value);
    if (event.key === "Escape") ask(grid, "");
  };
  const buttons = actions.map(([text, what], place) =>
    button(text, undefined, () => act(grid, what, input.value), place ? "" : "main"),
  );
  return [...parts, ...buttons, button("Cancel", undefined, () => ask(grid, ""), "quiet")];
}

/** @param {Grid} grid @param {string} question @param {string} yes @param {string} what @param {string} no */
function confirmation(grid, question, yes, what, no) {
  return [
    element("span", "question", question),
    button(yes, undefined, () => act(grid, what), what === "purge" ? "main danger" : "main"),
    button(no, undefined, () => ask(grid, ""), "quiet"),
  ];
}

/** @param {Grid} grid @param {ReturnType<typeof pickedRuns>} picked */
function asked(grid, picked) {
  const own = picked.filter((run) => !run.isExample);
  const active = own.filter((run) => run.isActive);
  const ended = own.length - active.length;
  const rest = (/** @type {number} */ count, /** @type {string} */ why) =>
    count ? ` ${runsText(count)} ${why} and stay${count === 1 ? "s" : ""}.` : "";
  switch (grid.asks) {
    case "tag":
      return field(
        grid,
        "Tags, separated by commas",
        "",
        [
          ["Add", "tag"],
          ["Remove", "untag"],
        ],
        grid.data.tags,
      );
    case "rename":
      return field(grid, "Name; empty for none", picked[0]?.title || "", [["Save", "rename"]], []);
    case "delete":
      return confirmation(
        grid,
        `Delete ${runsText(ended)}? ${ended === 1 ? "It goes" : "They go"} to the trash.${rest(active.length, active.length === 1 ? "is active" : "are active")}` +
          rest(picked.length - own.length, "of the examples"),
        "Delete",
        "delete",
        "Keep",
      );
    case "stop":
      return confirmation(
        grid,
        `Stop ${runsText(active.length)}? Each saves a checkpoint and ends.`,
        "Stop",
        "stop",
        "Keep running",
      );
    default:
      return null;
  }
}

/** @param {string} label @param {string} help @param {() => void} action @param {boolean} isOff @param {string} [className] */
function choice(label, help, action, isOff, className) {
  const node = button(label, undefined, action, className);
  node.title = help;
  node.disabled = isOff;
  return node;
}

/** @param {Grid} grid @param {ReturnType<typeof pickedRuns>} picked */
function choices(grid, picked) {
  if (grid.data.mode === "trash") {
    return [
      choice("Restore", "Brings them back to the runs", () => act(grid, "restore"), false),
      choice("Delete for good", "Asks first, and says what it frees", () => act(grid, "purge"), false),
    ];
  }
  const own = picked.filter((run) => !run.isExample);
  const { pages } = grid.data;
  const open = (/** @type {string} */ path) => openAddress(path);
  const list = encodeURIComponent(picked.map((run) => encodeURIComponent(run.id)).join(","));
  const sides = picked.map((run, place) => `${place ? "right" : "left"}=${encodeURIComponent(run.id)}`).join("&");
  const isPair = picked.length <= 2 && picked.every((run) => !run.isActive);
  const shown = [
    choice(
      "Curves",
      picked.length > MAX_CURVES ? `At most ${MAX_CURVES} runs` : "Compares their curves",
      () => open(`${pages.curves}?runs=${list}`),
      picked.length > MAX_CURVES,
    ),
    choice(
      "Embeddings",
      isPair ? "Compares what they make of the same images" : "For one or two runs that have ended",
      () => open(`${pages.embeddings}?${sides}`),
      !isPair,
    ),
    choice(
      "Tag",
      own.length ? "Adds or removes tags" : "Examples stay as they are",
      () => ask(grid, "tag"),
      !own.length,
    ),
  ];
  if (picked.length === 1) {
    shown.push(
      choice(
        "Rename",
        own.length ? "Gives it a name" : "Examples stay as they are",
        () => ask(grid, "rename"),
        !own.length,
      ),
      choice("Baseline", "Shows how far the others are from it", () => act(grid, "baseline"), false),
    );
  }
  if (own.some((run) => run.isActive)) shown.push(choice("Stop", "Asks first", () => ask(grid, "stop"), false));
  const isOff = !own.some((run) => !run.isActive);
  shown.push(choice("Delete", isOff ? "For own runs that have ended" : "Asks first", () => ask(grid, "delete"), isOff));
  return shown;
}

/** @param {Grid} grid */
export function drawBar(grid) {
  const picked = pickedRuns(grid);
  const { data, rows } = grid;
  const isBusy = grid.sent > data.answer;
  const told = grid.columns.filter((column) => column.help).map((column) => `${column.label}: ${column.help}`);
  const stamp = JSON.stringify([
    picked,
    grid.asks,
    data.total,
    rows.ids.length,
    data.baseline,
    data.tags,
    isBusy,
    told,
  ]);
  if (stamp === grid.barStamp) return;
  grid.barStamp = stamp;
  grid.node.classList.toggle("busy", isBusy);
  if (!picked.length) grid.asks = "";
  /** @type {Node[]} */
  const parts = [];
  if (!picked.length) {
    const count = rows.ids.length;
    parts.push(
      element(
        "span",
        "count",
        count === data.total ? runsText(count) : `${count.toLocaleString("en")} of ${runsText(data.total)}`,
      ),
    );
    if (told.length) parts.push(...helpMark("each column", told.join("\n")));
  } else {
    const form = asked(grid, picked);
    const count = element("span", "count picked", `${picked.length.toLocaleString("en")} selected`);
    if (form) parts.push(count, ...form);
    else {
      parts.push(count);
      if (picked.length < rows.ids.length) {
        const all = () => {
          for (const id of rows.ids) grid.memory.picked.add(id);
        };
        const help = "Selects all runs that pass the filter";
        parts.push(choice(`All ${rows.ids.length.toLocaleString("en")}`, help, () => pick(grid, all), false, "quiet"));
      }
      const none = () => pick(grid, () => grid.memory.picked.clear());
      parts.push(choice("None", "Selects nothing", none, false, "quiet"));
      parts.push(element("span", "divider"), ...choices(grid, picked));
    }
  }
  if (data.baseline && !grid.asks) {
    const chip = element("span", "baseline", "Differences from ");
    chip.append(element("b", "", data.baseline.title));
    chip.append(button("×", "No baseline", () => act(grid, "no-baseline"), "clear"));
    parts.push(chip);
  }
  grid.bar.classList.toggle("chosen", picked.length > 0);
  grid.bar.replaceChildren(...parts);
}

/** @param {Grid} grid @param {() => void} change */
function pick(grid, change) {
  change();
  grid.node.dispatchEvent(new CustomEvent("picked"));
}
