import assert from "node:assert/strict";
import { test } from "node:test";
import { countedUntil, SILENCE, stepSentence, timeNow, timeText, total } from "../../../labkit/widgets/assets/steps.js";

const step = (title, state, seconds = 1, note = "") => ({ title, state, seconds, note });

test("a running step's time goes on between two messages, a finished one's does not", () => {
  assert.equal(timeNow(step("A", "running", 2), 1500), 3.5);
  assert.equal(timeNow(step("A", "done", 2), 1500), 2);
  assert.equal(timeNow(step("A", "running", 2), -5), 2);
  assert.equal(total([step("A", "done", 2), step("B", "running", 1)], 500), 3.5);
});

test("when the kernel is silent for long, the time stands still at what was last heard", () => {
  assert.equal(countedUntil(100_000, 100_000 - SILENCE), 100_000);
  assert.equal(countedUntil(100_000, 100_000 - SILENCE - 1), 100_000 - SILENCE - 1);
});

test("what began and what failed is read out once", () => {
  assert.equal(stepSentence([], [step("A", "running")], false), "A.");
  assert.equal(stepSentence([step("A", "running")], [step("A", "running", 5)], false), "");
  assert.equal(stepSentence([step("A", "running")], [step("A", "done"), step("B", "running")], false), "B.");
  assert.equal(stepSentence([step("A", "running")], [step("A", "failed", 1, "no room")], true), "Failed: A, no room.");
  assert.equal(stepSentence([step("A", "running")], [step("A", "done")], true), "All done.");
});

test("times are short where they are short", () => {
  assert.deepEqual([0, 9.94, 9.96, 59.4, 125].map(timeText), ["0.0 s", "9.9 s", "10.0 s", "59 s", "2 min 05 s"]);
});
