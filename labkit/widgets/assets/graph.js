// The traffic graph. Everything is placed by Python (layout.py); here it is drawn, filtered and made to answer.
import { SIGNS, announcer, explainer, foldStills, h, nearest, portLabel, replaceKeepingFocus, s, stop, toolbar } from "./common.js";

/** The flows a view shows; the twin of picture.edges_to_draw. */
export function edgesToDraw(picture, view) {
  const rows = ((view.layer === "observed" ? picture.observed : picture.engine) || {})[view.port] || [];
  const mode = view.mode || picture.mode;
  const focus = picture.nodes.findIndex((node) => node.id === view.focus);
  if (mode === "namespaces" && focus < 0 && !view.changes) return [];
  const direction = view.direction || (picture.compact ? "out" : "both");
  const denied = view.denied === null || view.denied === undefined ? focus >= 0 : view.denied;
  const flags = picture.changed[view.port];
  const found = [];
  rows.forEach((row, i) => {
    for (let j = 0; j < row.length; j++) {
      const char = row[j];
      if (i === j || char === " " || char === "#") continue;
      if (focus >= 0 && !((i === focus && direction !== "in") || (j === focus && direction !== "out"))) continue;
      const changed = Boolean(flags) && flags[i][j] === "1";
      let wanted;
      if (view.changes) wanted = changed;
      else if (char === "." || char === "R") wanted = view.allowed;
      else if (char === "X" || char === "D") wanted = denied;
      else wanted = view.unknown;
      if (wanted) found.push({ source: i, destination: j, kind: char, changed });
    }
  });
  return found;
}

const FEW_SUMMARIES = 9; // picture.FEW_SUMMARIES

/** The edges between boxes a view shows; the twin of picture.summary_to_draw. */
export function summaryToDraw(picture, view) {
  if ((view.mode || picture.mode) !== "namespaces" || view.focus !== null || view.changes) return [];
  const wanted = { ".": view.allowed, "?": view.unknown, X: Boolean(view.denied) };
  const items = (picture.summary[view.layer] || {})[view.port] || [];
  const chosen = items.filter((item) => item.from !== item.to && wanted[summaryKind(item)]);
  const labels = new Map(chosen.map((item) => [`${item.from}:${item.to}`, summaryLabel(item)]));
  const found = [];
  for (const item of chosen) {
    const both = labels.get(`${item.to}:${item.from}`) === labels.get(`${item.from}:${item.to}`);
    if (!both || item.from < item.to) found.push({ ...item, both });
  }
  const box = picture.boxes.findIndex((shown) => shown.id === view.box);
  if (box >= 0) return found.filter((item) => item.from === box || item.to === box);
  return found.length <= FEW_SUMMARIES ? found : [];
}

/** The twin of picture.summary_kind. */
export function summaryKind(item) {
  return item.allowed ? "." : item.unknown ? "?" : "X";
}

/** The twin of picture.summary_label. */
export function summaryLabel(item) {
  const total = item.allowed + item.denied + item.unknown;
  if (item.allowed === total) return total > 1 ? `✓ all ${total}` : "✓";
  if (item.allowed) return `✓ ${item.allowed} of ${total}`;
  return item.unknown ? `? ${item.unknown} of ${total}` : `✗ none of ${total}`;
}

/** A place on a curve with the direction of travel; the twin of layout.point. */
export function point([x1, y1, cx, cy, x2, y2], t) {
  const u = 1 - t;
  const dx = 2 * u * (cx - x1) + 2 * t * (x2 - cx);
  const dy = 2 * u * (cy - y1) + 2 * t * (y2 - cy);
  const norm = Math.hypot(dx, dy) || 1;
  return {
    x: u * u * x1 + 2 * u * t * cx + t * t * x2,
    y: u * u * y1 + 2 * u * t * cy + t * t * y2,
    dx: dx / norm,
    dy: dy / norm,
  };
}

/** The words above the picture. */
export function countSentence(picture, view) {
  const rows = ((view.layer === "observed" ? picture.observed : picture.engine) || {})[view.port] || [];
  let allowed = 0;
  let total = 0;
  let unknown = 0;
  rows.forEach((row, i) => {
    for (let j = 0; j < row.length; j++) {
      if (i === j || row[j] === " " || row[j] === "#") continue;
      total += 1;
      if (row[j] === ".") allowed += 1;
      if (row[j] === "?") unknown += 1;
    }
  });
  const who = view.layer === "observed" ? "Observed in the cluster" : "By the policies";
  let text = `${who}: ${allowed} of ${total} flows allowed on port ${portLabel(view.port)}`;
  if (total > 0 && allowed === total) text = `${who}, everything can talk to everything on port ${portLabel(view.port)} (${total} flows)`;
  return `${text}${unknown ? `, ${unknown} unknown` : ""}.`;
}

/** How many verdicts of a port are not what they were. */
export function changedCount(picture, port) {
  return (picture.changed[port] || []).join("").split("1").length - 1;
}

/** A node in words, for its label. */
export function nodeSentence(node, picture, view) {
  const parts = [node.external ? `Address ${node.id}, outside the cluster` : `Pod ${node.id}`];
  if (node.labels.length) parts.push(`labels ${node.labels.join(", ")}`);
  if (node.services.length) parts.push(`behind service ${node.services.join(", ")}`);
  if (node.in && node.out) parts.push("isolated for ingress and egress");
  else if (node.in) parts.push("isolated for ingress");
  else if (node.out) parts.push("isolated for egress");
  if (node.host) parts.push("on the host network");
  const rows = (picture[view.layer] || {})[view.port];
  if (rows) {
    const at = picture.nodes.indexOf(node);
    const out = [...rows[at]].filter((char) => char === ".").length;
    const inward = rows.filter((row) => row[at] === ".").length;
    parts.push(`reaches ${out}, is reached by ${inward}`);
  }
  return parts.join("; ");
}

/** A namespace in words: what passes inside, and what reaches it and leaves it. */
export function boxSentence(index, picture, view) {
  const box = picture.boxes[index];
  const items = ((picture.summary[view.layer] || {})[view.port] || []).filter((item) => item.from === index || item.to === index);
  const parts = [box.external ? "Outside the cluster" : `Namespace ${box.id}`];
  if (box.labels.length) parts.push(`labels ${box.labels.join(", ")}`);
  for (const item of items) {
    if (item.from === item.to) parts.push(`inside ${summaryLabel(item)}`);
    else if (item.from === index) parts.push(`to ${picture.boxes[item.to].id} ${summaryLabel(item)}`);
    else parts.push(`from ${picture.boxes[item.from].id} ${summaryLabel(item)}`);
  }
  return parts.join("; ");
}

/** Where the cursor can stand: nodes, then the names of boxes. */
export function places(picture) {
  return [...picture.nodes, ...picture.boxes.map((box) => ({ x: box.x - box.w / 2 + 40, y: box.y - box.h / 2 + 18 }))];
}

/** An edge in words. */
export function edgeSentence(edge, picture, view) {
  const sign = SIGNS[edge.kind];
  const was = edge.changed && picture.previous ? SIGNS[picture.previous[view.port][edge.source][edge.destination]] : null;
  return (
    `${picture.nodes[edge.source].id} to ${picture.nodes[edge.destination].id}, port ${portLabel(view.port)}: ` +
    `${sign.word}${was ? `, was ${was.word}` : ""}. Enter explains.`
  );
}

function arrowOrBar(path, kind) {
  const { x, y, dx, dy } = point(path, 1);
  const f = (value) => value.toFixed(1);
  if (kind === "." || kind === "R") {
    const corners = [[x, y], [x - 9 * dx + 4.5 * dy, y - 9 * dy - 4.5 * dx], [x - 9 * dx - 4.5 * dy, y - 9 * dy + 4.5 * dx]];
    return s("polygon", { class: "lk-tip", points: corners.map((c) => c.map(f).join(",")).join(" ") });
  }
  return s("path", { class: "lk-stop", d: `M${f(x + 6 * dy)} ${f(y - 6 * dx)}L${f(x - 6 * dy)} ${f(y + 6 * dx)}` });
}

function markElement(path, at, text) {
  const { x, y } = point(path, at);
  const wide = text.length === 1 ? 9 : 3.4 * text.length + 8;
  return s(
    "g",
    { class: "lk-mark", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    s("rect", { x: -wide, y: -9, width: 2 * wide, height: 18, rx: 9 }),
    s("text", { "text-anchor": "middle", y: 4 }, text),
  );
}

const line = (path) => `M${path[0]} ${path[1]}Q${path[2]} ${path[3]} ${path[4]} ${path[5]}`;

function render({ model, el }) {
  const speech = announcer();
  const note = h("p", { class: "lk-note" });
  const title = h("div", { class: "lk-title" });
  const stage = h("div", { class: "lk-stage" });
  const legend = h("p", { class: "lk-keys lk-legend" });
  const keys = h(
    "p",
    { class: "lk-keys" },
    "Keys: arrows move, Enter on a pod shows its flows, then arrows walk through them and Enter explains one; Escape goes back. P port, V view, D denied.",
  );
  const panel = explainer(model, speech.say, () => refocus());
  const root = h("div", { class: "labkit labkit-graph", role: "group", "aria-label": "Traffic graph" });
  let bar = h("div");
  root.append(title, bar, note, stage, panel.element, legend, keys, speech.element);
  el.append(root);

  // node: index into nodes, then boxes; edge: index into `edges`, when walking through the flows of a node
  let cursor = { node: 0, edge: null };
  let edges = [];
  let handles = { nodes: [], edges: [] };

  const view = () => model.get("view");
  const picture = () => model.get("picture");
  function change(part) {
    model.set("view", { ...view(), ...part });
    model.save_changes();
    draw();
  }

  function controls() {
    const v = view();
    const p = picture();
    const mode = v.mode || p.mode;
    const deniedOn = v.denied === null || v.denied === undefined ? v.focus !== null : v.denied;
    const changes = changedCount(p, v.port);
    return toolbar("What the graph shows", [
      {
        label: "Port",
        caption: "Port",
        items: p.ports.map((port) => ({
          id: `port-${port.key}`, text: port.label, title: `Port ${port.label}`, pressed: port.key === v.port, run: () => change({ port: port.key }),
        })),
      },
      {
        label: "View",
        caption: "View",
        items: [
          { id: "ns", text: "Namespaces", title: "Flows between namespaces, summed up", pressed: mode === "namespaces" && v.focus === null, run: () => change({ mode: "namespaces", focus: null, box: null, changes: false }) },
          { id: "pods", text: "Pods", title: "Every flow between pods", pressed: mode === "pods" && v.focus === null, run: () => change({ mode: "pods", focus: null, changes: false }) },
        ],
      },
      {
        label: "Show",
        caption: "Show",
        items: [
          { id: "allowed", css: "lk-allowed", text: "✓ allowed", title: "Show allowed flows", pressed: v.allowed, run: () => change({ allowed: !v.allowed }) },
          { id: "denied", css: "lk-denied", text: "✗ denied", title: "Show denied flows", pressed: deniedOn, run: () => change({ denied: !deniedOn }) },
          { id: "unknown", css: "lk-unknown", text: "? unknown", title: "Show flows that are unknown or left to implementations", pressed: v.unknown, run: () => change({ unknown: !v.unknown }) },
          changes || v.changes
            ? { id: "changes", text: `Changed (${changes})`, title: "Show only what changed since last time", pressed: v.changes, run: () => change({ changes: !v.changes }) }
            : null,
        ].filter(Boolean),
      },
      {
        label: "Layer",
        caption: "Who says",
        items: p.observed
          ? [
              { id: "engine", text: "Engine", title: "What the policies say", pressed: v.layer === "engine", run: () => change({ layer: "engine" }) },
              { id: "observed", text: "Cluster", title: "What the cluster did", pressed: v.layer === "observed", run: () => change({ layer: "observed" }) },
            ]
          : [],
      },
      {
        label: "Around the chosen pod",
        caption: v.focus,
        items: v.focus
          ? [
              ...["out", "in", "both"].map((direction) => ({
                id: `dir-${direction}`, text: { out: "→ leaving", in: "← entering", both: "↔ both" }[direction],
                title: { out: "Flows that leave the chosen pod", in: "Flows that enter the chosen pod", both: "Flows in both directions" }[direction],
                pressed: (v.direction || (p.compact ? "out" : "both")) === direction, run: () => change({ direction }),
              })),
              { id: "all", text: "All pods", title: "Stop looking at one pod", run: () => choose(null) },
            ]
          : [],
      },
    ]);
  }

  function draw() {
    const v = view();
    const p = picture();
    if (!p.nodes) return;
    bar = replaceKeepingFocus(bar, controls());
    title.textContent = p.title || "";
    title.hidden = !p.title;
    edges = edgesToDraw(p, v);
    const crowded = edges.length > 40;
    const noteParts = [countSentence(p, v)];
    if (v.layer === "engine" && !p.observed && p.observed_note) noteParts.push(p.observed_note);
    if (v.changes && !edges.length) noteParts.push("Nothing changed on this port.");
    if ((v.mode || p.mode) === "namespaces" && v.focus === null && !v.changes) noteParts.push(v.box !== null || summaryToDraw(p, v).length ? "Choose a pod to see its flows." : "Choose a namespace or a pod to see its flows.");
    note.textContent = noteParts.join(" ");

    const hadFocus = stage.contains(document.activeElement);
    const svg = s("svg", { viewBox: `0 0 ${p.width} ${p.height}`, width: p.width, height: p.height, role: "group", "aria-label": "Pods and flows" });
    const boxes = s("g", {});
    const boxHandles = p.boxes.map((box, index) => boxElement(box, index, p, v));
    boxes.append(...boxHandles);
    const summaries = s("g", {});
    for (const item of summaryToDraw(p, v)) {
      const path = p.box_routes[`${item.from}${item.both ? "-" : ":"}${item.to}`];
      const kind = summaryKind(item);
      summaries.append(
        s(
          "g",
          { class: `lk-edge lk-sum lk-e-${SIGNS[kind].css}`, role: "img", "aria-label": `${p.boxes[item.from].id} ${item.both ? "and" : "to"} ${p.boxes[item.to].id}: ${summaryLabel(item)}` },
          s("path", { class: "lk-line", d: line(path) }),
          arrowOrBar(path, kind),
          item.both ? arrowOrBar([path[4], path[5], path[2], path[3], path[0], path[1]], kind) : null,
          markElement(path, path[6], summaryLabel(item)),
        ),
      );
    }
    const edgeLayer = s("g", { class: crowded ? "lk-crowded" : "" });
    const markLayer = s("g", {});
    handles.edges = edges.map((edge, index) => {
      const path = p.routes[`${edge.source}:${edge.destination}`];
      const at = crowded && v.focus !== null ? (p.nodes[edge.destination].id === v.focus ? 0 : 1) : path[6];
      const css = `lk-edge lk-e-${SIGNS[edge.kind].css}${edge.changed ? " lk-changed" : ""}`;
      const run = () => explainEdge(index);
      const group = s(
        "g",
        { class: css, tabindex: "-1", role: "button", "aria-label": edgeSentence(edge, p, v), "data-flow": `${p.nodes[edge.source].id}>${p.nodes[edge.destination].id}`, on: { click: run } },
        s("title", {}, edgeSentence(edge, p, v)),
        edge.changed ? s("path", { class: "lk-halo", d: line(path) }) : null,
        s("path", { class: "lk-hitline", d: line(path) }),
        s("path", { class: "lk-line", d: line(path) }),
        crowded ? null : arrowOrBar(path, edge.kind),
      );
      edgeLayer.append(group);
      const mark = s("g", { class: css, on: { click: run } }, markElement(path, at, SIGNS[edge.kind].mark));
      markLayer.append(mark);
      group.lkMark = mark;
      return group;
    });
    const touched = new Set(edges.flatMap((edge) => [edge.source, edge.destination]));
    const nodeLayer = s("g", {});
    handles.nodes = p.nodes.map((node, index) => {
      const dim = v.focus !== null && node.id !== v.focus && !touched.has(index);
      const element = nodeElement(node, dim, p, v, () => choose(node.id === view().focus ? null : node.id, index));
      nodeLayer.append(element);
      return element;
    });
    svg.append(boxes, summaries, ...(crowded ? [edgeLayer, nodeLayer, markLayer] : [edgeLayer, markLayer, nodeLayer]));
    handles.nodes.push(...boxHandles);
    stage.replaceChildren(svg);
    if (cursor.edge !== null && cursor.edge >= edges.length) cursor.edge = null;
    cursor.node = Math.min(cursor.node, handles.nodes.length - 1);
    rove(hadFocus);
    const kinds = new Set(edges.map((edge) => edge.kind));
    legend.replaceChildren(
      ...legendParts(kinds.has("R") || kinds.has("D")),
      " Shaded pod: isolated, in = for ingress, out = for egress: only what a policy allows passes.",
      Object.keys(p.changed).length ? " Yellow band: changed since last time." : "",
    );
  }

  function boxElement(box, index, p, v) {
    const x = box.x - box.w / 2;
    const y = box.y - box.h / 2;
    const chosen = box.id === v.box && v.focus === null;
    const group = s(
      "g",
      {
        class: `lk-box${box.external ? " lk-outside" : ""}${chosen ? " lk-chosen" : ""}`, tabindex: "-1", role: "button", "data-box": box.id,
        "aria-pressed": String(chosen), "aria-label": boxSentence(index, p, v), on: { click: () => chooseBox(box.id === view().box ? null : box.id, index) },
      },
      s("title", {}, boxSentence(index, p, v)),
      s("rect", { x, y, width: box.w, height: box.h, rx: 10 }),
      s("text", { x: x + 14, y: y + 22, class: "lk-boxname" }, box.id, s("tspan", { dx: 8, class: "lk-small" }, box.labels.join(", "))),
    );
    if ((v.mode || p.mode) === "namespaces" && v.focus === null && !v.changes) {
      const inside = ((p.summary[v.layer] || {})[v.port] || []).find((item) => item.from === index && item.to === index);
      if (inside)
        group.append(s("text", { x: x + box.w - 12, y: y + 22, "text-anchor": "end", class: `lk-small lk-f-${SIGNS[summaryKind(inside)].css}` }, `inside ${summaryLabel(inside)}`));
    }
    return group;
  }

  function nodeElement(node, dim, p, v, run) {
    const x = node.x - node.w / 2;
    const y = node.y - node.h / 2;
    const base = node.lines.length ? y + 18 : node.y + 4;
    const css = ["lk-node"];
    if (node.in || node.out) css.push("lk-isolated");
    if (node.external || node.host) css.push("lk-dashed");
    if (node.id === v.focus) css.push("lk-chosen");
    if (dim) css.push("lk-dim");
    const group = s(
      "g",
      { class: css.join(" "), tabindex: "-1", role: "button", "aria-pressed": String(node.id === v.focus), "aria-label": nodeSentence(node, p, v), "data-node": node.id, on: { click: run } },
      s("title", {}, nodeSentence(node, p, v)),
      s("rect", { x, y, width: node.w, height: node.h, rx: 7 }),
      s("text", { x: x + 10, y: base, class: "lk-name" }, node.title),
    );
    let right = x + node.w - 5;
    for (const chip of [node.host && "host", node.out && "out", node.in && "in"].filter(Boolean)) {
      const wide = 7 * chip.length + 6;
      group.append(
        s("rect", { class: "lk-chip", x: right - wide, y: base - 10, width: wide, height: 14, rx: 4 }),
        s("text", { class: "lk-chiptext", x: right - wide / 2, y: base + 0.5, "text-anchor": "middle" }, chip),
      );
      right -= wide + 3;
    }
    node.lines.forEach((text, number) => group.append(s("text", { x: x + 10, y: base + 15 * (number + 1), class: "lk-small" }, text)));
    return group;
  }

  function choose(id, index = cursor.node) {
    cursor = { node: index, edge: null };
    change({ focus: id });
    const found = edges.length;
    speech.say(id === null ? countSentence(picture(), view()) : `${nodeSentence(picture().nodes[index], picture(), view())}. ${found} flows shown; arrows walk through them.`);
  }

  function chooseBox(id, index) {
    cursor = { node: picture().nodes.length + index, edge: null };
    change({ box: id, mode: "namespaces", focus: null, changes: false });
    speech.say(id === null ? countSentence(picture(), view()) : boxSentence(index, picture(), view()));
  }

  function explainEdge(index) {
    cursor.edge = index;
    rove(true);
    const edge = edges[index];
    const p = picture();
    panel.explain(view().port, p.nodes[edge.source].id, p.nodes[edge.destination].id);
  }

  function current() {
    return cursor.edge !== null ? handles.edges[cursor.edge] : handles.nodes[cursor.node];
  }

  function rove(focus) {
    for (const element of [...handles.nodes, ...handles.edges]) {
      element.setAttribute("tabindex", "-1");
      element.classList.remove("lk-current");
      if (element.lkMark) element.lkMark.classList.remove("lk-current");
    }
    const element = current();
    if (!element) return;
    element.setAttribute("tabindex", "0");
    if (cursor.edge !== null) {
      element.classList.add("lk-current");
      element.lkMark.classList.add("lk-current");
    }
    if (focus) element.focus({ preventScroll: true });
  }

  function refocus() {
    rove(true);
  }

  stage.addEventListener("keydown", (event) => {
    const p = picture();
    const v = view();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow")) {
      stop(event);
      if (v.focus !== null && edges.length && (cursor.edge !== null || (p.nodes[cursor.node] || {}).id === v.focus)) {
        const step = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1;
        const from = cursor.edge === null ? (step > 0 ? -1 : 0) : cursor.edge;
        cursor.edge = (from + step + edges.length) % edges.length;
      } else {
        cursor.edge = null;
        cursor.node = nearest(places(p), cursor.node, event.key);
      }
      rove(true);
    } else if (event.key === "Enter" || event.key === " ") {
      stop(event);
      const box = cursor.node - p.nodes.length;
      if (cursor.edge !== null) explainEdge(cursor.edge);
      else if (box >= 0) chooseBox(p.boxes[box].id === v.box ? null : p.boxes[box].id, box);
      else choose(p.nodes[cursor.node].id === v.focus ? null : p.nodes[cursor.node].id);
    } else if (event.key === "Escape") {
      if (panel.isOpen()) panel.close();
      else if (cursor.edge !== null) {
        cursor.edge = null;
        rove(true);
      } else if (v.focus !== null) choose(null);
      else if (v.box !== null) change({ box: null });
      else return;
      stop(event);
    } else if (event.key === "p" || event.key === "P") {
      stop(event);
      const at = p.ports.findIndex((port) => port.key === v.port);
      const next = p.ports[(at + 1) % p.ports.length].key;
      change({ port: next });
      speech.say(countSentence(p, view()));
    } else if (event.key === "v" || event.key === "V") {
      stop(event);
      change({ mode: (v.mode || p.mode) === "pods" ? "namespaces" : "pods", focus: null });
    } else if (event.key === "d" || event.key === "D") {
      stop(event);
      const on = v.denied === null || v.denied === undefined ? v.focus !== null : v.denied;
      change({ denied: !on });
    }
  });

  const redraw = () => draw();
  const reply = () => {
    panel.close();
    draw();
  };
  model.on("change:picture", reply);
  model.on("change:view", redraw);
  const unfold = foldStills(el, model.get("still"));
  draw();
  return () => {
    unfold();
    panel.dispose();
    model.off("change:picture", reply);
    model.off("change:view", redraw);
  };
}

function legendParts(reached) {
  const item = (kind, text) => {
    const path = [2, 8, 16, 8, 30, 8];
    return h(
      "span",
      { class: "lk-legitem" },
      s("svg", { width: 36, height: 16, "aria-hidden": "true", class: `lk-edge lk-e-${SIGNS[kind].css}` }, s("path", { class: "lk-line", d: line(path) }), arrowOrBar(path, kind)),
      ` ${SIGNS[kind].mark} ${text} `,
    );
  };
  return [
    item(".", "allowed"),
    item("X", "denied"),
    item("?", "unknown or left to implementations"),
    ...(reached ? [item("R", "reached, but nothing listens (D: no such name)")] : []),
  ];
}

export default { render };
