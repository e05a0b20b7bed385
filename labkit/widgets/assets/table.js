// The truth table: what I said, what the engine says, what the cluster did.
import { SIGNS, announcer, compatible, explainer, foldStills, gridStep, h, portLabel, replaceKeepingFocus, stop, toolbar } from "./common.js";

const WORD_TO_CHAR = { allow: ".", deny: "X" };

/** What a click makes of a prediction: blank, allow, deny, blank. */
export function cycle(word) {
  return { undefined: "allow", allow: "deny", deny: undefined }[word];
}

/** The predictions with one cell changed; `word` undefined blanks it. The given object stays as it is. */
export function withPrediction(predicted, port, source, destination, word) {
  const rows = { ...(predicted[port] || {}) };
  const row = { ...(rows[source] || {}) };
  if (word === undefined) delete row[destination];
  else row[destination] = word;
  if (Object.keys(row).length) rows[source] = row;
  else delete rows[source];
  const next = { ...predicted };
  if (Object.keys(rows).length) next[port] = rows;
  else delete next[port];
  return next;
}

/** The predicted character of a cell. */
export function predictedChar(predicted, port, source, destination) {
  return WORD_TO_CHAR[((predicted[port] || {})[source] || {})[destination]] || " ";
}

/** Whether a cell is to be predicted. */
export function isAsked(table, port, row, column) {
  const char = table.blank[port][row][column];
  if (char !== ".") return false;
  if (!table.asked) return true;
  return (table.asked[port] || []).some(([s, d]) => s === table.sources[row] && d === table.destinations[column]);
}

/** The layers that a cell shows, in reading order: [{name, label, char}]. */
export function cellLayers(table, layers, predicted, revealed, port, row, column) {
  const source = table.sources[row];
  const destination = table.destinations[column];
  const found = [];
  const blank = table.blank[port][row][column];
  if (table.predict || Object.keys(predicted).length)
    found.push({ name: "predicted", label: "you", char: blank === "." ? predictedChar(predicted, port, source, destination) : blank === "?" ? " " : blank });
  if (revealed && layers.engine) {
    found.push({ name: "engine", label: "engine", char: layers.engine[port][row][column] });
    if (layers.observed) found.push({ name: "observed", label: "cluster", char: layers.observed[port][row][column] });
  }
  return found;
}

/** Whether neighbouring layers of a cell contradict each other. */
export function disagrees(chars) {
  return chars.some((char, index) => index > 0 && !compatible(chars[index - 1], char));
}

/** A cell in words. */
export function cellSentence(table, layers, predicted, revealed, port, row, column) {
  const source = table.sources[row];
  const destination = table.destinations[column];
  const blank = table.blank[port][row][column];
  const where = `From ${source} to ${destination}, port ${portLabel(port)}`;
  if (blank === "#") return `${where}: the pod itself, always allowed`;
  if (blank === " ") return `${where}: no flow`;
  if (blank === "?" && !revealed) return `${where}: left to implementations, not asked`;
  const who = { predicted: "you say", engine: "the engine says", observed: "the cluster" };
  const shown = cellLayers(table, layers, predicted, revealed, port, row, column);
  const parts = shown.map((layer) => `${who[layer.name]} ${layer.char === " " ? (layer.name === "predicted" ? "nothing yet" : "was not tried") : SIGNS[layer.char].word}`);
  if (!isAsked(table, port, row, column) && table.predict && !revealed) return `${where}: not asked`;
  if (disagrees(shown.map((layer) => layer.char))) parts.push("they disagree");
  const was = changedFrom(layers, port, row, column);
  if (was) parts.push(`was ${SIGNS[was].word} before`);
  return `${where}: ${parts.join(", ")}`;
}

/** The character that a changed cell had before, or null. */
export function changedFrom(layers, port, row, column) {
  const flags = (layers.changed || {})[port];
  if (!flags || flags[row][column] !== "1" || !layers.previous) return null;
  return layers.previous[port][row][column];
}

/** "3 of 6 predicted". */
export function predictedCount(table, predicted, port) {
  let asked = 0;
  let filled = 0;
  table.sources.forEach((source, row) =>
    table.destinations.forEach((destination, column) => {
      if (!isAsked(table, port, row, column)) return;
      asked += 1;
      if (predictedChar(predicted, port, source, destination) !== " ") filled += 1;
    }),
  );
  return { asked, filled };
}

/** Consecutive names of the same namespace, for a heading above them: [{name, span}]. */
export function namespaceRuns(names) {
  const runs = [];
  for (const id of names) {
    const slash = id.indexOf("/");
    const name = slash > 0 && !id.startsWith("service:") ? id.slice(0, slash) : id.startsWith("service:") ? "services" : "outside";
    if (runs.length && runs[runs.length - 1].name === name) runs[runs.length - 1].span += 1;
    else runs.push({ name, span: 1 });
  }
  return runs;
}

/** The part of a name below its namespace heading. */
export function shortName(id) {
  return id.startsWith("service:") ? id.slice(8) : id.slice(id.indexOf("/") + 1);
}

function render({ model, el }) {
  const speech = announcer();
  const title = h("div", { class: "lk-title" });
  const note = h("p", { class: "lk-note" });
  const stage = h("div", { class: "lk-stage" });
  const keys = h("p", { class: "lk-keys" });
  const panel = explainer(model, speech.say, () => rove(true));
  const root = h("div", { class: "labkit labkit-table", role: "group", "aria-label": "Truth table" });
  let bar = h("div");
  root.append(title, bar, note, stage, panel.element, keys, speech.element);
  el.append(root);
  let cursor = { part: 0, row: 0, column: 0 };
  let cells = []; // [part][row][column]

  const get = (name) => model.get(name);
  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  const editable = () => get("table").predict && !get("revealed");

  function controls() {
    const table = get("table");
    const view = get("view");
    const layers = get("layers");
    const revealed = get("revealed");
    const changes = ((layers.changed || {})[view.port] || []).join("").split("1").length - 1;
    const several = cellCount() > 1;
    const change = (part) => {
      set("view", { ...get("view"), ...part });
      draw();
    };
    return toolbar("What the table shows", [
      {
        label: "Port",
        caption: "Port",
        items: table.ports.map((port) => ({ id: `port-${port.key}`, text: port.label, title: `Port ${port.label}`, pressed: port.key === view.port, run: () => change({ port: port.key }) })),
      },
      {
        label: "Layout",
        caption: "Layers",
        items: several
          ? [
              { id: "together", text: "together", title: "All layers in one cell", pressed: !view.apart, run: () => change({ apart: false }) },
              { id: "apart", text: "apart", title: "One table for each layer", pressed: Boolean(view.apart), run: () => change({ apart: true }) },
            ]
          : [],
      },
      {
        label: "Show",
        items: [
          changes || view.changes
            ? { id: "changes", text: `Changed (${changes})`, title: "Light only the cells that changed since last time", pressed: view.changes, run: () => change({ changes: !view.changes }) }
            : null,
          editable() && table.can_reveal
            ? { id: "reveal", css: "lk-primary", text: "Compare with the engine", title: "End the prediction and show what the engine and the cluster say", run: reveal }
            : null,
        ].filter(Boolean),
      },
    ]);
  }

  function cellCount() {
    const table = get("table");
    const predictedShown = table.predict || Object.keys(get("predicted")).length;
    const layers = get("revealed") ? get("layers") : {};
    return (predictedShown ? 1 : 0) + (layers.engine ? 1 : 0) + (layers.observed ? 1 : 0);
  }

  function reveal() {
    set("revealed", true);
    speech.say("Asking the engine.");
  }

  function draw() {
    const table = get("table");
    const view = get("view");
    if (!table.sources) return;
    bar = replaceKeepingFocus(bar, controls());
    title.textContent = table.title || "";
    title.hidden = !table.title;
    const parts = view.apart && cellCount() > 1 ? [...Array(cellCount()).keys()] : [null];
    const hadFocus = stage.contains(document.activeElement);
    const scroll = stage.scrollLeft;
    cells = [];
    stage.replaceChildren(...parts.map((part, index) => tableElement(part, index)));
    stage.classList.toggle("lk-only-changes", Boolean(view.changes));
    stage.classList.toggle("lk-small-cells", table.destinations.length > 16 || parts.length > 1);
    stage.scrollLeft = scroll;
    cursor.part = Math.min(cursor.part, parts.length - 1);
    cursor.row = Math.min(cursor.row, table.sources.length - 1);
    cursor.column = Math.min(cursor.column, table.destinations.length - 1);
    rove(hadFocus);
    note.textContent = sentence();
    keys.textContent = editable()
      ? "Keys: arrows move; Space or a click changes ✓, ✗, blank; Y or + writes ✓, N or - writes ✗, Backspace blanks."
      : "Keys: arrows move, Enter or a click explains a cell, Escape closes. ≠ marks layers that disagree, a dot · what was not tried.";
  }

  function sentence() {
    const table = get("table");
    const view = get("view");
    const layers = get("layers");
    const predicted = get("predicted");
    if (editable()) {
      const count = predictedCount(table, predicted, view.port);
      return `Your prediction, port ${portLabel(view.port)}: ${count.filled} of ${count.asked} cells filled. What the engine says is hidden until you compare.`;
    }
    if (!layers.engine) return "Waiting for the kernel. If it is not running, run the cell again.";
    const parts = [];
    const engine = layers.engine[view.port].join("").replace(/[# ]/g, "");
    parts.push(`By the policies, ${engine.split(".").length - 1} of ${engine.length} flows are allowed on port ${portLabel(view.port)}.`);
    if (cellCount() > 1 && !view.apart) {
      const names = cellLayers(table, layers, predicted, get("revealed"), view.port, 0, 0).map((layer) => layer.label);
      parts.push(`In each cell: ${names.join(" · ")}.`);
    }
    let different = 0;
    table.sources.forEach((_, row) =>
      table.destinations.forEach((__, column) => {
        if (disagrees(cellLayers(table, layers, predicted, true, view.port, row, column).map((layer) => layer.char))) different += 1;
      }),
    );
    if (cellCount() > 1) parts.push(different ? `${different} ${different === 1 ? "cell disagrees" : "cells disagree"} (≠).` : "Nothing disagrees.");
    if (!layers.observed && table.observed_note) parts.push(`Observed: nothing. ${table.observed_note}`);
    return parts.join(" ");
  }

  function tableElement(part, index) {
    const table = get("table");
    const view = get("view");
    const runs = namespaceRuns(table.destinations);
    const starts = new Set();
    let at = 0;
    for (const run of runs) {
      starts.add(at);
      at += run.span;
    }
    const layerNames = cellLayers(table, get("layers"), get("predicted"), get("revealed"), view.port, 0, 0).map((layer) => ({ predicted: "You said", engine: "The engine says", observed: "The cluster did" })[layer.name]);
    const body = h("tbody", {});
    const grid = [];
    const rowRuns = namespaceRuns(table.sources);
    const rowStarts = new Map();
    at = 0;
    for (const run of rowRuns) {
      rowStarts.set(at, run);
      at += run.span;
    }
    table.sources.forEach((source, row) => {
      const line = h("tr", { class: rowStarts.has(row) && row ? "lk-nsrow" : "" });
      const run = rowStarts.get(row);
      if (run) line.append(h("th", { scope: "rowgroup", rowspan: run.span, class: "lk-ns lk-nsv" }, h("span", {}, run.name)));
      line.append(h("th", { scope: "row", class: "lk-rowname", title: source }, shortName(source)));
      grid.push(
        table.destinations.map((_, column) => {
          const cell = cellElement(part, row, column, starts.has(column) && column > 0);
          cell.lkAt = { part: index, row, column };
          line.append(cell);
          return cell;
        }),
      );
      body.append(line);
    });
    cells.push(grid);
    const tall = table.destinations.some((name) => shortName(name).length > 9) && table.destinations.length > 6;
    return h(
      "table",
      { role: "grid", "aria-label": `${part === null ? "Truth table" : layerNames[part]}, port ${portLabel(view.port)}; rows are sources, columns destinations`, class: tall ? "lk-tall" : "" },
      part === null ? null : h("caption", {}, layerNames[part]),
      h(
        "thead",
        {},
        h("tr", {}, h("th", { colspan: 2, rowspan: 2, class: "lk-corner" }, "from ↓ to →"), runs.map((run) => h("th", { colspan: run.span, scope: "colgroup", class: "lk-ns" }, run.name))),
        h("tr", {}, table.destinations.map((name, column) => h("th", { scope: "col", class: `lk-colname${starts.has(column) && column ? " lk-nscol" : ""}`, title: name }, h("span", {}, shortName(name))))),
      ),
      body,
    );
  }

  function cellElement(part, row, column, first) {
    const table = get("table");
    const view = get("view");
    const layers = get("layers");
    const predicted = get("predicted");
    const revealed = get("revealed");
    const blank = table.blank[view.port][row][column];
    const shown = cellLayers(table, layers, predicted, revealed, view.port, row, column);
    const chars = shown.map((layer) => layer.char);
    // Where layers stand apart, a table marks only what contradicts the table before it.
    const differs = blank === "." && disagrees(part === null ? chars : chars.slice(Math.max(0, part - 1), part + 1));
    const engineHere = part === null || (shown[part] || {}).name === "engine";
    const css = ["lk-cell"];
    if (first) css.push("lk-nscol");
    if (blank === "#") css.push("lk-itself");
    else if (blank === " ") css.push("lk-noflow");
    else {
      const main = part === null ? shown[shown.length - 1] : shown[part];
      if (main) css.push(`lk-bg-${SIGNS[main.char].css}`);
      if (blank === "?") css.push("lk-bg-unknown");
      else if (editable()) css.push(isAsked(table, view.port, row, column) ? "lk-editable" : "lk-notasked");
      if (differs) css.push("lk-differs");
      if (engineHere && changedFrom(layers, view.port, row, column)) css.push("lk-changed");
    }
    const sign = (layer) => h("span", { class: `lk-sign lk-${SIGNS[layer.char].css}`, "data-layer": layer.name }, SIGNS[layer.char].mark || (layer.name === "predicted" && editable() ? "" : "·"));
    let content;
    if (blank === "#") content = h("span", { class: "lk-sign lk-self" }, "#");
    else if (blank === " ") content = "";
    else if (blank === "?" && editable()) content = h("span", { class: "lk-sign lk-unknown" }, "?");
    else content = (part === null ? shown : [shown[part]]).filter(Boolean).map(sign);
    return h(
      "td",
      {
        class: css.join(" "), role: "gridcell", tabindex: "-1", "aria-label": cellSentence(table, layers, predicted, revealed, view.port, row, column),
        "data-flow": `${table.sources[row]}>${table.destinations[column]}`, on: { click: () => pressed(row, column) },
      },
      h("span", { class: "lk-signs", "aria-hidden": "true" }, content, differs ? h("b", { class: "lk-neq" }, "≠") : null),
    );
  }

  function pressed(row, column) {
    const active = document.activeElement && document.activeElement.lkAt;
    cursor = { part: active && active.row === row && active.column === column ? active.part : cursor.part, row, column };
    rove(true);
    if (editable()) write(row, column, undefined, true);
    else explain(row, column);
  }

  function write(row, column, word, cycling = false) {
    const table = get("table");
    const port = get("view").port;
    if (!isAsked(table, port, row, column)) {
      speech.say(cellSentence(table, get("layers"), get("predicted"), get("revealed"), port, row, column));
      return;
    }
    const [source, destination] = [table.sources[row], table.destinations[column]];
    const old = ((get("predicted")[port] || {})[source] || {})[destination];
    set("predicted", withPrediction(get("predicted"), port, source, destination, cycling ? cycle(old) : word));
    draw();
    speech.say(cellSentence(table, get("layers"), get("predicted"), get("revealed"), port, row, column));
  }

  function explain(row, column) {
    const table = get("table");
    const port = get("view").port;
    if ("# ".includes(table.blank[port][row][column])) {
      speech.say(cellSentence(table, get("layers"), get("predicted"), get("revealed"), port, row, column));
      return;
    }
    panel.explain(port, table.sources[row], table.destinations[column]);
  }

  function rove(focus) {
    for (const grid of cells) for (const row of grid) for (const cell of row) cell.setAttribute("tabindex", "-1");
    const cell = cells[cursor.part] && cells[cursor.part][cursor.row] && cells[cursor.part][cursor.row][cursor.column];
    if (!cell) return;
    cell.setAttribute("tabindex", "0");
    if (focus) cell.focus();
  }

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const table = get("table");
    const total = cells.length * table.destinations.length; // tables that stand apart are walked through as one wide table
    const step = gridStep(cursor.row, cursor.part * table.destinations.length + cursor.column, table.sources.length, total, event.key);
    const { row, column } = cursor;
    if (step) {
      stop(event);
      cursor = { row: step[0], part: Math.floor(step[1] / table.destinations.length), column: step[1] % table.destinations.length };
      rove(true);
    } else if (event.key === "Escape") {
      if (!panel.isOpen()) return;
      stop(event);
      panel.close();
    } else if (event.key === "Enter") {
      stop(event);
      if (editable()) write(row, column, undefined, true);
      else explain(row, column);
    } else if (event.key === " ") {
      stop(event);
      if (editable()) write(row, column, undefined, true);
      else explain(row, column);
    } else if (editable()) {
      const word = { y: "allow", "+": "allow", n: "deny", "-": "deny", Backspace: undefined, Delete: undefined };
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!(key in word)) return;
      stop(event);
      write(row, column, word[key]);
    }
  });

  const redraw = () => draw();
  const names = ["table", "layers", "predicted", "revealed", "view"];
  const fresh = () => {
    panel.close();
    draw();
    if (get("revealed") && get("layers").engine && get("table").predict) speech.say(sentence());
  };
  for (const name of names) model.on(`change:${name}`, name === "layers" || name === "table" ? fresh : redraw);
  const unfold = foldStills(el, model.get("still"));
  draw();
  return () => {
    unfold();
    panel.dispose();
    for (const name of names) model.off(`change:${name}`, name === "layers" || name === "table" ? fresh : redraw);
  };
}

export default { render };
