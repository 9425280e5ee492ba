// How a changed image is named in an address, and what is said of it.

const TEXT = /^([a-z]{1,20})~(\d{1,2})$/;

/**
 * An operation and the number of its strength, as an address has them; null where it makes no sense.
 * @param {string} text
 */
export function tugFrom(text) {
  const found = TEXT.exec(text);
  return found ? { operation: found[1], place: Number(found[2]) } : null;
}

/** @param {string} operation @param {number} place */
export function tugAddress(operation, place) {
  return operation ? `${operation}~${place}` : "";
}

/**
 * How far the image has gone in each model, for who listens to the page.
 * @param {string} what @param {string[]} titles
 * @param {(number | undefined)[]} moved none where a model has no encoder
 */
export function tugText(what, titles, moved) {
  const parts = titles.flatMap((title, i) => {
    const way = moved[i];
    return way === undefined ? [] : [`${way.toFixed(2)} of the median distance in ${title}`];
  });
  return `${what}: moved ${parts.join(", ")}`;
}
