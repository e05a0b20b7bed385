import assert from "node:assert/strict";
import { test } from "node:test";
import { boxSentence, changedCount, countSentence, edgeSentence, nodeSentence, places } from "../../../labkit/widgets/assets/graph.js";

const node = (id, more = {}) => ({ id, labels: [], services: [], in: false, out: false, host: false, external: false, x: 0, y: 0, w: 80, h: 30, ...more });
const picture = {
  nodes: [node("x/a", { labels: ["app=a"], services: ["a"], in: true }), node("x/b"), node("203.0.113.7", { external: true })],
  boxes: [{ id: "x", labels: ["team=red"], external: false, x: 100, y: 100, w: 200, h: 100 }, { id: "outside the cluster", labels: [], external: true, x: 100, y: 0, w: 200, h: 50 }],
  engine: { "80/TCP": ["#..", "X#.", "?.#"] },
  observed: null,
  changed: { "80/TCP": ["000", "100", "000"] },
  previous: { "80/TCP": ["#..", ".#.", "?.#"] },
  summary: { engine: { "80/TCP": [{ from: 0, to: 0, allowed: 1, denied: 1, unknown: 0 }, { from: 0, to: 1, allowed: 2, denied: 0, unknown: 0 }, { from: 1, to: 0, allowed: 1, denied: 0, unknown: 1 }] } },
};
const view = { port: "80/TCP", layer: "engine" };

test("the sentence above the picture counts what is allowed and what is unknown", () => {
  assert.equal(countSentence(picture, view), "By the policies: 4 of 6 flows allowed on port 80, 1 unknown.");
});

test("a default-allow cluster is said in words", () => {
  const open = { ...picture, engine: { "80/TCP": ["#..", ".#.", "..#"] } };
  assert.equal(countSentence(open, view), "By the policies, everything can talk to everything on port 80 (6 flows).");
});

test("a node says its labels, its services, its isolation and what it reaches", () => {
  assert.equal(nodeSentence(picture.nodes[0], picture, view), "Pod x/a; labels app=a; behind service a; isolated for ingress; reaches 2, is reached by 0");
  assert.match(nodeSentence(picture.nodes[2], picture, view), /^Address 203.0.113.7, outside the cluster; reaches 1/);
});

test("an edge says its verdict and what it was before", () => {
  const edge = { source: 1, destination: 0, kind: "X", changed: true };
  assert.equal(edgeSentence(edge, picture, view), "x/b to x/a, port 80: denied, was allowed. Enter explains.");
});

test("a namespace says what passes inside, in and out", () => {
  assert.equal(boxSentence(0, picture, view), "Namespace x; labels team=red; inside ✓ 1 of 2; to outside the cluster ✓ all 2; from outside the cluster ✓ 1 of 2");
});

test("changes are counted per port", () => {
  assert.equal(changedCount(picture, "80/TCP"), 1);
  assert.equal(changedCount(picture, "81/TCP"), 0);
});

test("the cursor can stand on every node and on every namespace's name", () => {
  assert.equal(places(picture).length, 5);
  assert.deepEqual(places(picture)[3], { x: 40, y: 68 });
});
