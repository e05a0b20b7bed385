import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cellLayers, cellSentence, changedFrom, cycle, disagrees, isAsked, namespaceRuns, predictedChar, predictedCount, shortName, withPrediction,
} from "../../../labkit/widgets/assets/table.js";

const port = "80/TCP";
const table = { sources: ["x/a", "x/b"], destinations: ["x/a", "x/b"], blank: { [port]: ["#.", ".#"] }, asked: null, predict: true };
const layers = { engine: { [port]: ["#X", ".#"] }, observed: { [port]: ["#.", "R#"] }, changed: { [port]: ["01", "00"] }, previous: { [port]: ["#.", ".#"] } };

test("a click goes from blank to allow to deny and back to blank", () => {
  assert.equal(cycle(undefined), "allow");
  assert.equal(cycle("allow"), "deny");
  assert.equal(cycle("deny"), undefined);
});

test("writing a prediction makes a new object and leaves the old one", () => {
  const before = {};
  const after = withPrediction(before, port, "x/a", "x/b", "deny");
  assert.deepEqual(before, {});
  assert.deepEqual(after, { [port]: { "x/a": { "x/b": "deny" } } });
  assert.equal(predictedChar(after, port, "x/a", "x/b"), "X");
});

test("blanking the last prediction leaves nothing behind", () => {
  const one = withPrediction({}, port, "x/a", "x/b", "allow");
  assert.deepEqual(withPrediction(one, port, "x/a", "x/b", undefined), {});
});

test("a pod's flow to itself is never asked for, nor is a cell that the lesson leaves out", () => {
  assert.equal(isAsked(table, port, 0, 0), false);
  assert.equal(isAsked(table, port, 0, 1), true);
  assert.equal(isAsked({ ...table, asked: { [port]: [["x/b", "x/a"]] } }, port, 0, 1), false);
});

test("as long as nothing is revealed a cell shows the prediction alone", () => {
  assert.deepEqual(cellLayers(table, layers, {}, false, port, 0, 1).map((layer) => layer.name), ["predicted"]);
  assert.deepEqual(cellLayers(table, layers, {}, true, port, 0, 1).map((layer) => layer.char), [" ", "X", "."]);
});

test("without predictions there is no column for them", () => {
  assert.deepEqual(cellLayers({ ...table, predict: false }, layers, {}, true, port, 0, 1).map((layer) => layer.name), ["engine", "observed"]);
});

test("layers disagree when one says yes and its neighbour no; blank, unknown and refused do not", () => {
  assert.equal(disagrees([".", "X"]), true);
  assert.equal(disagrees([" ", "X", "X"]), false);
  assert.equal(disagrees(["?", "."]), false);
  assert.equal(disagrees([".", "R"]), false);
});

test("a cell is said in words, with every layer, the contradiction and the change", () => {
  const predicted = { [port]: { "x/a": { "x/b": "deny" } } };
  assert.equal(
    cellSentence(table, layers, predicted, true, port, 0, 1),
    "From x/a to x/b, port 80: you say denied, the engine says denied, the cluster allowed, they disagree, was allowed before",
  );
  assert.equal(cellSentence(table, {}, {}, false, port, 0, 1), "From x/a to x/b, port 80: you say nothing yet");
  assert.equal(cellSentence(table, layers, {}, true, port, 0, 0), "From x/a to x/a, port 80: the pod itself, always allowed");
});

test("what a cell was before is known only where it changed", () => {
  assert.equal(changedFrom(layers, port, 0, 1), ".");
  assert.equal(changedFrom(layers, port, 1, 0), null);
  assert.equal(changedFrom({}, port, 1, 0), null);
});

test("filled cells are counted against those asked for", () => {
  assert.deepEqual(predictedCount(table, { [port]: { "x/a": { "x/b": "deny" } } }, port), { asked: 2, filled: 1 });
});

test("columns are grouped by namespace, with services and addresses apart", () => {
  assert.deepEqual(namespaceRuns(["x/a", "x/b", "y/a", "service:x/a", "203.0.113.7"]), [
    { name: "x", span: 2 }, { name: "y", span: 1 }, { name: "services", span: 1 }, { name: "outside", span: 1 },
  ]);
  assert.equal(shortName("x/a"), "a");
  assert.equal(shortName("service:x/a"), "x/a");
  assert.equal(shortName("203.0.113.7"), "203.0.113.7");
});

test("a cell that is left to implementations is not asked for, and says so", () => {
  const open = { ...table, blank: { [port]: ["#?", ".#"] } };
  assert.equal(isAsked(open, port, 0, 1), false);
  assert.deepEqual(predictedCount(open, {}, port), { asked: 1, filled: 0 });
  assert.equal(cellSentence(open, {}, {}, false, port, 0, 1), "From x/a to x/b, port 80: left to implementations, not asked");
});
