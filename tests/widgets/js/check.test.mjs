import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks, hintLabel, pieces, pointsText, resultSentence } from "../../../labkit/widgets/assets/check.js";

test("a result is read out with the conditions that do not hold, and not with those that do", () => {
  const result = {
    status: "fail", words: "not yet", message: "One of two.",
    checks: [{ status: "pass", title: "A", words: "passed", message: "" }, { status: "fail", title: "B", words: "not yet", message: "It timed out." }],
  };
  assert.equal(resultSentence(result), "Result: not yet. One of two. B: not yet. It timed out.");
  assert.equal(resultSentence({}), "");
});

test("points are told only where a step has points", () => {
  assert.equal(pointsText({ score: 1, max_score: 3 }), "1 of 3 points");
  assert.equal(pointsText({ score: null, max_score: null }), "");
});

test("the hint button says which rung comes next", () => {
  assert.equal(hintLabel({ total: 4, shown: [], next: "the concept" }), "Hint 1 of 4: the concept");
  assert.equal(hintLabel({ total: 4, shown: [{}], next: "where to look" }), "Next hint 2 of 4: where to look");
  assert.equal(hintLabel({ total: 1, shown: [{}], next: "" }), "All hints are shown");
  assert.equal(hintLabel({ total: 0, shown: [] }), "");
});

test("words between backquotes are code", () => {
  assert.deepEqual(pieces("run `kubectl` now"), [{ text: "run ", code: false }, { text: "kubectl", code: true }, { text: " now", code: false }]);
});

test("indented and fenced lines are blocks of code that keep their inner indentation", () => {
  assert.deepEqual(blocks("Write:\n\n    spec:\n      a: 1\n\nThen apply."), [
    { pre: false, text: "Write:" }, { pre: true, text: "spec:\n  a: 1" }, { pre: false, text: "Then apply." },
  ]);
  assert.deepEqual(blocks("Write:\n```yaml\nspec:\n  a: 1\n```\nThen."), [
    { pre: false, text: "Write:" }, { pre: true, text: "spec:\n  a: 1" }, { pre: false, text: "Then." },
  ]);
});
