import assert from "node:assert/strict";
import { test } from "node:test";
import { flowKey, gridStep, nearest, portLabel, reasonSentence } from "../../../labkit/widgets/assets/common.js";

test("TCP goes without saying, other protocols do not", () => {
  assert.equal(portLabel("80/TCP"), "80");
  assert.equal(portLabel("53/UDP"), "53/UDP");
});

test("the key of a flow names port, source and destination", () => {
  assert.equal(flowKey("80/TCP", "a/b", "c/d"), "80/TCP|a/b|c/d");
});

const square = [{ x: 0, y: 0 }, { x: 100, y: 5 }, { x: 0, y: 100 }, { x: 100, y: 105 }];

test("an arrow leads to the neighbour in its direction", () => {
  assert.equal(nearest(square, 0, "ArrowRight"), 1);
  assert.equal(nearest(square, 0, "ArrowDown"), 2);
  assert.equal(nearest(square, 3, "ArrowLeft"), 2);
  assert.equal(nearest(square, 3, "ArrowUp"), 1);
});

test("an arrow into nothing, and any other key, stays", () => {
  assert.equal(nearest(square, 0, "ArrowUp"), 0);
  assert.equal(nearest(square, 0, "x"), 0);
  assert.equal(nearest([], 0, "ArrowUp"), 0);
});

test("every node can be reached by arrows from any other", () => {
  const items = [];
  for (let row = 0; row < 4; row++) for (let column = 0; column < 5; column++) items.push({ x: 120 * column + (row % 2) * 50, y: 60 * row });
  const reached = new Set([0]);
  const queue = [0];
  while (queue.length) {
    const at = queue.pop();
    for (const key of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]) {
      const next = nearest(items, at, key);
      if (!reached.has(next)) {
        reached.add(next);
        queue.push(next);
      }
    }
  }
  assert.equal(reached.size, items.length);
});

test("in a grid arrows stop at the edge, Home and End go to the ends of the row", () => {
  assert.deepEqual(gridStep(0, 0, 3, 4, "ArrowLeft"), [0, 0]);
  assert.deepEqual(gridStep(0, 0, 3, 4, "ArrowRight"), [0, 1]);
  assert.deepEqual(gridStep(2, 3, 3, 4, "ArrowDown"), [2, 3]);
  assert.deepEqual(gridStep(1, 2, 3, 4, "Home"), [1, 0]);
  assert.deepEqual(gridStep(1, 2, 3, 4, "End"), [1, 3]);
  assert.equal(gridStep(1, 2, 3, 4, "q"), null);
});

test("a reason is read out with both halves, the observation and the contradiction", () => {
  const text = reasonSentence({
    headline: "✗ Denied: a → b, port 80",
    note: "",
    halves: [{ title: "Leaving a", summary: "fine" }, { title: "Entering b", summary: "no rule" }],
    observed: { words: "connected" },
    disagrees: true,
  });
  assert.equal(text, "✗ Denied: a → b, port 80 Leaving a: fine Entering b: no rule Observed: connected. The cluster does not do what the policies say.");
});
