// NT-Xent on a stored matrix, as `simclr.analysis.similarity.at_temperature` computes it: the page needs no server to move the temperature.

/** @import { Contrast } from "./types.js" */

/**
 * Similarities (2N x 2N, pairs adjacent) at a temperature: mean loss over the anchors, weights of each anchor's
 * negatives (a softmax without itself and its positive: Wang and Liu 2021), effective numbers of them.
 * @param {Float32Array} similarities @param {number} num @param {number} temperature @returns {Contrast}
 */
export function contrastAt(similarities, num, temperature) {
  const weights = new Float64Array(num * num);
  let loss = 0;
  let effective = 0;
  for (let i = 0; i < num; i++) {
    const partner = i ^ 1;
    const start = i * num;
    const positive = similarities[start + partner];
    let high = -Infinity; // of the negatives
    for (let k = 0; k < num; k++) if (k !== i && k !== partner) high = Math.max(high, similarities[start + k]);
    let sum = 0;
    for (let k = 0; k < num; k++) {
      if (k === i || k === partner) continue;
      sum += weights[start + k] = Math.exp((similarities[start + k] - high) / temperature);
    }
    let entropy = 0;
    for (let k = 0; k < num; k++) {
      const weight = (weights[start + k] /= sum);
      if (weight > 0) entropy -= weight * Math.log(weight);
    }
    // log of exp(positive) + exp(high) * sum, all divided by the temperature, relative to the positive
    const above = (high - positive) / temperature + Math.log(sum);
    loss += above > 0 ? above + Math.log1p(Math.exp(-above)) : Math.log1p(Math.exp(above));
    effective += Math.exp(entropy);
  }
  return { loss: loss / num, weights, effective: effective / num };
}
