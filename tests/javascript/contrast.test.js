import assert from "node:assert/strict";
import { test } from "node:test";

import { contrastAt } from "../../dashboard/components/similarity_matrix/contrast.js";
import { randomNumbers } from "./random.js";

function symmetric(num, seed) {
  const random = randomNumbers(seed);
  const found = new Float32Array(num * num);
  for (let i = 0; i < num; i++) {
    found[i * num + i] = 1;
    for (let k = 0; k < i; k++) found[i * num + k] = found[k * num + i] = 2 * random() - 1;
  }
  return found;
}

const near = (found, wanted, part = 1e-9) => assert.ok(Math.abs(found - wanted) <= part, `${found} is not ${wanted}`);

test("NT-Xent agrees with its formula, pair by pair", () => {
  for (const temperature of [0.07, 0.5, 2]) {
    const num = 8;
    const similarities = symmetric(num, 1);
    let loss = 0;
    let effective = 0;
    for (let i = 0; i < num; i++) {
      const terms = [...Array(num).keys()].map((k) => Math.exp(similarities[i * num + k] / temperature));
      const others = terms.filter((_, k) => k !== i);
      loss -= Math.log(terms[i ^ 1] / others.reduce((sum, term) => sum + term)) / num;
      const negatives = terms.filter((_, k) => k !== i && k !== (i ^ 1));
      const sum = negatives.reduce((total, term) => total + term);
      effective += Math.exp(-negatives.reduce((total, term) => total + (term / sum) * Math.log(term / sum), 0)) / num;
    }
    const found = contrastAt(similarities, num, temperature);
    near(found.loss, loss);
    near(found.effective, effective);
  }
});

test("rows that are all alike give ln(2N - 1), and every negative counts the same", () => {
  const found = contrastAt(new Float32Array(36).fill(1), 6, 0.1);
  near(found.loss, Math.log(5));
  near(found.effective, 4);
  near(found.weights[2], 1 / 4);
});

test("the weights of an anchor's negatives add up to one, without itself and its positive", () => {
  const { weights } = contrastAt(symmetric(10, 2), 10, 0.2);
  for (let i = 0; i < 10; i++) {
    const row = [...weights.subarray(10 * i, 10 * i + 10)];
    near(
      row.reduce((sum, weight) => sum + weight),
      1,
    );
    assert.equal(row[i], 0);
    assert.equal(row[i ^ 1], 0);
  }
});

test("the lowest temperature neither overflows nor loses the loss of a perfect batch", () => {
  const perfect = Float32Array.from({ length: 16 }, (_, place) => (place >> 3 === (place & 3) >> 1 ? 1 : -1));
  const { loss } = contrastAt(perfect, 4, 0.01);
  assert.ok(loss >= 0 && loss < 1e-80);
  near(
    contrastAt(
      perfect.map((value) => -value),
      4,
      0.01,
    ).loss,
    200 + Math.LN2,
  );
});
