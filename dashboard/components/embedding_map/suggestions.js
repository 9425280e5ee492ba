// What can be typed next in the search field: names and conditions that fit what stands there.

import { plain, propertyNames, rangeText, shortNumber } from "./query.js";

/** @import { Searched, SearchField, Suggestion } from "./types.js" */

export const MOST_SUGGESTIONS = 8;
const FILES_BESIDE = 3; // suggested after others
const LEAST_OF_FILE = 2; // signs of a file's name

/** @param {string} name */
export function quoted(name) {
  return /["<>=!≤≥≠]|(^|\s)(and|or)(\s|$)/i.test(name) && !name.includes('"') ? `"${name}"` : name;
}

/**
 * What stands before the condition that is being typed, and that condition.
 * @param {string} text
 */
export function lastCondition(text) {
  const border = /^.*\s(?:and|or)\s+/i.exec(text)?.[0] ?? "";
  return { before: border, part: text.slice(border.length) };
}

/** @param {SearchField} field */
function middle(field) {
  return shortNumber(Number(((field.low + field.high) / 2).toPrecision(2)));
}

/**
 * @param {SearchField} field
 */
function rangeOf(field) {
  const about = field.kind === "word" ? `${field.words.length} words` : rangeText(field);
  return plain(field.label) === plain(field.name) ? about : `${field.label}, ${about}`;
}

/**
 * At most `MOST_SUGGESTIONS` texts that the field may hold next, with what they are; the likeliest first.
 * @param {string} text @param {Searched} source @returns {Suggestion[]}
 */
export function suggestions(text, source) {
  const { before, part } = lastCondition(text);
  const typed = plain(part.replace(/"/g, ""));
  /** @type {Suggestion[]} */
  const found = [];
  const add = (/** @type {string} */ condition, /** @type {string} */ note) => {
    if (!found.some((each) => each.label === condition))
      found.push({ text: before + condition, label: condition, note });
  };
  const operator = /^(.*?)\s*(<=|>=|!=|==|[<>=≤≥≠])\s*(.*)$/.exec(part);
  if (operator) {
    const [, name, sign, value] = operator;
    const asked = plain(value.replace(/"/g, ""));
    const fitting = valuesOf(plain(name), source).filter(([word]) => plain(word).includes(asked));
    const [first, rest] = [true, false].map((is) => fitting.filter(([word]) => plain(word).startsWith(asked) === is));
    for (const [word, note] of [...first, ...rest].slice(0, MOST_SUGGESTIONS)) {
      add(`${name} ${sign} ${quoted(word)}`, note);
    }
    return found.length === 1 && plain(found[0].label) === plain(part) ? [] : found;
  }
  const starts = (/** @type {string} */ name) => plain(name).startsWith(typed);
  const holds = (/** @type {string} */ name) => typed !== "" && plain(name).includes(typed) && !starts(name);
  for (const fits of [starts, holds]) {
    for (const { name } of source.tags) if (fits(name)) add(`tag = ${quoted(name)}`, "tag");
    source.classes
      .filter(fits)
      .slice(0, typed ? 5 : 3)
      .forEach((name) => add(quoted(name), "class"));
    for (const field of source.fields) {
      if (!fits(field.name) && !fits(field.label)) continue;
      if (field.kind === "number") add(`${field.name} > ${middle(field)}`, rangeOf(field));
      else if (field.words.length) add(`${field.name} = ${quoted(field.words[0])}`, rangeOf(field));
    }
  }
  if (typed) {
    for (const { name, label, kind, words } of source.fields) {
      if (kind === "word") words.filter(starts).forEach((word) => add(`${name} = ${quoted(word)}`, label));
    }
    propertyNames(source)
      .filter((name) => starts(name) && !source.fields.some((field) => field.name === name))
      .forEach((name) => add(`${name} = `, "property"));
    if (/^#?\d+$/.test(part.trim())) {
      const number = Number(part.trim().replace("#", ""));
      if (source.ids.includes(number)) add(String(number), "image number");
    }
    if (typed.length >= LEAST_OF_FILE && found.length < MOST_SUGGESTIONS) {
      const asked = part.trim().toLowerCase();
      const most = found.length ? Math.min(MOST_SUGGESTIONS, found.length + FILES_BESIDE) : MOST_SUGGESTIONS;
      for (const file of source.files) {
        if (file.toLowerCase().includes(asked)) add(quoted(file), "file");
        if (found.length >= most) break;
      }
    }
  }
  const rest = found.filter(({ text: next }) => next !== text);
  return rest.slice(0, MOST_SUGGESTIONS);
}

/**
 * What a property can be compared with, each with what it is.
 * @param {string} name @param {Searched} source @returns {[string, string][]}
 */
function valuesOf(name, source) {
  if (name === "class") return source.classes.map((word) => [word, "class"]);
  if (name === "tag") return source.tags.map((tag) => [tag.name, "tag"]);
  /** @type {[string, string][]} */
  const found = [];
  for (const field of source.fields) {
    if (plain(field.name) !== name && plain(field.label) !== name) continue;
    if (field.kind === "word")
      found.push(...field.words.map((word) => /** @type {[string, string]} */ ([word, field.label])));
    else found.push([middle(field), rangeOf(field)]);
  }
  return found;
}
