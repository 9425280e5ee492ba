// What is typed to find images, as a test of rows: class names, numbers and files of images, and conditions such as
// hue > 0.5 or shape = star, joined with "and" and "or". What cannot be read gives one sentence with what is allowed.

/** @import { Found, Searched, SearchField } from "./types.js" */

const OPERATORS = ["<=", ">=", "!=", "==", "≤", "≥", "≠", "<", ">", "="];
/** @type {Record<string, string>} */
const SAME = { "==": "=", "≤": "<=", "≥": ">=", "≠": "!=" };
const MOST_NAMED = 12; // words of a sentence
export const BUILT_IN = ["class", "id", "file", "tag"];

/** A sentence about what cannot be found or read. */
class Unreadable extends Error {}

/**
 * Texts with words and signs set apart alike: "Middle_Hue " is "middle hue".
 * @param {string} text
 */
export function plain(text) {
  return text
    .trim()
    .toLowerCase()
    .replace(/[_\s]+/g, " ");
}

/**
 * Some of many words, for a sentence.
 * @param {string[]} words
 */
function listed(words) {
  const rest = words.length - MOST_NAMED;
  return rest > 0 ? `${words.slice(0, MOST_NAMED).join(", ")} and ${rest} more` : words.join(", ");
}

/** @param {number} value */
export function shortNumber(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
}

/**
 * From where to where the values of a property go, rounded to what their span is worth.
 * @param {SearchField} field
 */
export function rangeText({ low, high }) {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(high - low || 1)));
  return [low, high].map((value) => String(Number(value.toFixed(digits)))).join(" to ");
}

/** @typedef {{ kind: "text" | "quoted" | "operator" | "and" | "or", text: string }} Token */

/**
 * @param {string} text @returns {Token[]}
 */
export function tokens(text) {
  /** @type {Token[]} */
  const found = [];
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const space = /^\s+/.exec(rest);
    const operator = OPERATORS.find((sign) => rest.startsWith(sign));
    if (space) at += space[0].length;
    else if (rest[0] === '"') {
      const end = text.indexOf('"', at + 1);
      if (end < 0) throw new Unreadable(`A quotation mark is missing after ${rest.slice(1) || "the first one"}.`);
      found.push({ kind: "quoted", text: text.slice(at + 1, end) });
      at = end + 1;
    } else if (operator) {
      found.push({ kind: "operator", text: SAME[operator] ?? operator });
      at += operator.length;
    } else {
      const word = /^[^\s"<>=≤≥≠]+?(?=!=|[\s"<>=≤≥≠]|$)/.exec(rest)?.[0] ?? rest[0];
      const kind = /^(and|&&)$/i.test(word) ? "and" : /^(or|\|\|)$/i.test(word) ? "or" : "text";
      found.push({ kind, text: word });
      at += word.length;
    }
  }
  return found;
}

/**
 * Parts of a list between the elements for which `isBorder` holds.
 * @param {Token[]} list @param {(token: Token) => boolean} isBorder
 */
function split(list, isBorder) {
  /** @type {Token[][]} */
  const parts = [[]];
  for (const token of list) {
    if (isBorder(token)) parts.push([]);
    else parts[parts.length - 1].push(token);
  }
  return parts;
}

/** @param {Token[]} part */
const joined = (part) => part.map(({ text }) => text).join(" ");

/**
 * The number that a text is, NaN for none; "0,5" is none.
 * @param {string} text
 */
function numberOf(text) {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** @param {number} value @param {string} operator @param {number} limit */
function compares(value, operator, limit) {
  if (Number.isNaN(value)) return false; // unknown: no condition holds
  if (operator === "=") return value === limit;
  if (operator === "!=") return value !== limit;
  if (operator === "<") return value < limit;
  if (operator === "<=") return value <= limit;
  return operator === ">" ? value > limit : value >= limit;
}

/**
 * All that conditions may begin with.
 * @param {Searched} source
 */
export function propertyNames(source) {
  const own = BUILT_IN.filter(
    (name) =>
      name === "id" ||
      (name === "class" && source.classes.length) ||
      (name === "file" && source.files.length) ||
      (name === "tag" && source.tags.length),
  );
  return [...new Set([...own, ...source.fields.map(({ name }) => name)])];
}

/**
 * @param {Searched} source @param {string} name @param {string} operator @param {string} value
 * @returns {(row: number) => boolean}
 */
function condition(source, name, operator, value) {
  const asked = plain(name);
  const isEqual = operator === "=" || operator === "!=";
  /** @param {string} about @param {string[]} words @param {(row: number) => number} placeOf */
  const byWord = (about, words, placeOf) => {
    if (!isEqual) throw new Unreadable(`${about} has words and no numbers: allowed are = and !=, not ${operator}.`);
    const place = words.findIndex((word) => plain(word) === plain(value));
    if (place < 0) throw new Unreadable(`${about} is never “${value}”; allowed: ${listed(words)}.`);
    return (/** @type {number} */ row) => placeOf(row) >= 0 && (placeOf(row) === place) === (operator === "=");
  };
  if (!value)
    throw new Unreadable(`After ${name} ${operator} something is missing, such as in hue > 0.5 or class = cat.`);
  if (asked === "class" && source.classes.length) {
    return byWord("class", source.classes, (row) => source.labels[row]);
  }
  if (asked === "tag") {
    if (!source.tags.length) throw new Unreadable("There is no tag yet: select images, then make a tag of them.");
    if (!isEqual) throw new Unreadable(`A tag has a name: allowed are = and !=, not ${operator}.`);
    const tag = source.tags.find((each) => plain(each.name) === plain(value));
    if (!tag)
      throw new Unreadable(`There is no tag “${value}”; allowed: ${listed(source.tags.map((each) => each.name))}.`);
    return (row) => Boolean(tag.rows[row]) === (operator === "=");
  }
  if (asked === "file") {
    if (!source.files.length) throw new Unreadable("These images have no files of their own; allowed: id = a number.");
    if (!isEqual) throw new Unreadable(`A file has a name: allowed are = and !=, not ${operator}.`);
    const part = value.toLowerCase();
    return (row) => source.files[row].toLowerCase().includes(part) === (operator === "=");
  }
  const number = numberOf(value);
  if (asked === "id" || asked === "image") {
    if (Number.isNaN(number))
      throw new Unreadable(`id is compared with “${value}”; allowed: a number such as ${source.ids[0]}.`);
    return (row) => compares(source.ids[row], operator, number);
  }
  const fields = source.fields.filter((field) => plain(field.name) === asked || plain(field.label) === asked);
  const field = fields.find(({ kind }) => (kind === "number") !== Number.isNaN(number)) ?? fields[0];
  if (!field) {
    throw new Unreadable(`“${name}” is no property of these images; allowed: ${listed(propertyNames(source))}.`);
  }
  const { values } = field;
  if (field.kind === "word") return byWord(field.name, field.words, (row) => values[row]);
  if (Number.isNaN(number)) {
    throw new Unreadable(
      `${field.name} is compared with “${value}”; allowed: a number, here from ${rangeText(field)}.`,
    );
  }
  const limit = Math.fround(number); // as the values are kept: 0.2 is 0.2
  return (row) => compares(values[row], operator, limit);
}

/**
 * A name without a condition: of a class, a tag, a word of a property, an image or a part of a file's name.
 * @param {Searched} source @param {string} text @param {boolean} isQuoted @returns {(row: number) => boolean}
 */
function named(source, text, isQuoted) {
  const asked = plain(text);
  const number = /^#?\d+$/.test(text) && !isQuoted ? Number(text.replace("#", "")) : -1;
  const label = source.classes.findIndex((name) => plain(name) === asked);
  if (label >= 0) return (row) => source.labels[row] === label;
  const tag = source.tags.find(({ name }) => plain(name) === asked);
  if (tag) return (row) => Boolean(tag.rows[row]);
  /** @type {((row: number) => boolean)[]} */
  const ways = [];
  if (number >= 0) {
    ways.push((row) => source.ids[row] === number);
    ways.push((row) => Number(/(\d+)\.\w+$/.exec(source.files[row] ?? "")?.[1] ?? -1) === number);
  } else {
    const labels = new Set(source.classes.flatMap((name, place) => (plain(name).includes(asked) ? [place] : [])));
    if (labels.size) ways.push((row) => labels.has(source.labels[row]));
    for (const { kind, words, values } of source.fields) {
      const place = kind === "word" ? words.findIndex((word) => plain(word) === asked) : -1;
      if (place >= 0) ways.push((row) => values[row] === place);
    }
    const part = text.toLowerCase();
    if (source.files.length) ways.push((row) => source.files[row].toLowerCase().includes(part));
  }
  return (row) => ways.some((way) => way(row));
}

/**
 * @param {Searched} source @param {Token[]} part
 */
function conditionOf(source, part) {
  const places = part.flatMap(({ kind }, place) => (kind === "operator" ? [place] : []));
  if (!part.length)
    throw new Unreadable("Between, before and after “and” and “or” stands a condition, such as hue > 0.5.");
  const text = joined(part);
  if (!places.length)
    return {
      text,
      test: named(
        source,
        text,
        part.some(({ kind }) => kind === "quoted"),
      ),
      isName: true,
    };
  const [place] = places;
  if (places.length > 1 || place === 0) {
    throw new Unreadable(`“${text}” cannot be read; allowed: conditions such as hue > 0.5, joined with and.`);
  }
  const [name, value] = [joined(part.slice(0, place)), joined(part.slice(place + 1))];
  return { text, test: condition(source, name, part[place].text, value), isName: false };
}

/**
 * The rows that a text asks for (1 for each), how many they are, and a sentence where there are none.
 * @param {string} text @param {Searched} source @returns {Found}
 */
export function findRows(text, source) {
  const rows = new Uint8Array(source.count);
  const asked = text.trim();
  if (!asked) return { rows, number: 0, error: "" };
  try {
    const whole = [{ kind: /** @type {const} */ ("quoted"), text: asked }];
    const names = [...source.classes, ...source.tags.map(({ name }) => name)];
    const isName = names.some((name) => plain(name) === plain(asked)); // also one that holds "and"
    const list = isName ? whole : tokens(asked);
    const ways = split(list, ({ kind }) => kind === "or").map((way) =>
      split(way, ({ kind }) => kind === "and").map((part) => conditionOf(source, part)),
    );
    let number = 0;
    for (let row = 0; row < source.count; row++) {
      if (ways.some((way) => way.every(({ test }) => test(row)))) number += rows[row] = 1;
    }
    return { rows, number, error: number ? "" : whyNone(ways.flat(), source) };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { rows, number: 0, error: error.message };
  }
}

/**
 * @param {{ text: string, test: (row: number) => boolean, isName: boolean }[]} conditions @param {Searched} source
 */
function whyNone(conditions, source) {
  const empty = conditions.find(({ test }) => !Array.prototype.some.call(source.ids, (_, row) => test(row)));
  if (!empty) return "No image meets all of this at once.";
  if (empty.isName) {
    const files = source.files.length ? ", a part of a file's name" : "";
    const example = source.fields.find(({ kind }) => kind === "number");
    const sample = example ? `${example.name} > ${shortNumber((example.low + example.high) / 2)}` : "id > 100";
    return `Nothing here is called “${empty.text}”; allowed: a class, the number of an image${files}, or a condition such as ${sample}.`;
  }
  const name = plain(empty.text.split(/[<>=!]/)[0]);
  const field = source.fields.find(
    (each) => each.kind === "number" && [each.name, each.label].some((own) => plain(own) === name),
  );
  const range = field ? `: ${field.name} goes from ${rangeText(field)} here` : "";
  return `No image has ${empty.text}${range}.`;
}
