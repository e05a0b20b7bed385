// Shared by the graph, the table and the check panel: signs, small DOM builders, the who-decided panel, keyboard movement.
// Pure functions touch no DOM and are tested with Node.

/** The signs of marks.py by a cell's character. */
export const SIGNS = {
  ".": { mark: "✓", word: "allowed", css: "allowed" },
  X: { mark: "✗", word: "denied", css: "denied" },
  "?": { mark: "?", word: "unknown or left to implementations", css: "unknown" },
  "#": { mark: "#", word: "itself", css: "self" },
  R: { mark: "R", word: "reached, but nothing listens", css: "reached" },
  D: { mark: "D", word: "the name did not resolve", css: "reached" },
  " ": { mark: "", word: "not tried", css: "none" },
};

/** "80/TCP" as people say it. */
export function portLabel(key) {
  return key.replace(/\/TCP$/, "");
}

/** The name under which reasons are kept and asked for. */
export function flowKey(port, source, destination) {
  return `${port}|${source}|${destination}`;
}

/** Whether two layers tell the same story; the twin of marks.compatible. */
export function compatible(one, other) {
  const silent = " ?#D";
  if (silent.includes(one) || silent.includes(other)) return true;
  const passed = ".R";
  return passed.includes(one) === passed.includes(other);
}

/** One sentence for the live region. */
export function reasonSentence(reason) {
  const parts = [reason.headline];
  for (const half of reason.halves) parts.push(`${half.title}: ${half.summary}`);
  if (reason.note) parts.push(reason.note);
  if (reason.observed) parts.push(`Observed: ${reason.observed.words}.`);
  if (reason.disagrees) parts.push("The cluster does not do what the policies say.");
  return parts.join(" ");
}

/**
 * The nearest item in the direction of an arrow key, for moving between things that stand anywhere.
 * items: [{x, y}], from: an index; returns an index (the same when nothing lies that way).
 */
export function nearest(items, from, key) {
  const axis = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  if (!axis || !items[from]) return from;
  let best = from;
  let bestCost = Infinity;
  items.forEach((item, index) => {
    if (index === from) return;
    const dx = item.x - items[from].x;
    const dy = item.y - items[from].y;
    const along = dx * axis[0] + dy * axis[1];
    const aside = Math.abs(dx * axis[1]) + Math.abs(dy * axis[0]);
    if (along <= 1) return;
    const cost = along + 2.5 * aside;
    if (cost < bestCost) [best, bestCost] = [index, cost];
  });
  return best;
}

/** Where an arrow key leads in a grid of rows × columns; Home and End go to the ends of the row. */
export function gridStep(row, column, rows, columns, key) {
  const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));
  if (key === "ArrowRight") return [row, clamp(column + 1, columns)];
  if (key === "ArrowLeft") return [row, clamp(column - 1, columns)];
  if (key === "ArrowDown") return [clamp(row + 1, rows), column];
  if (key === "ArrowUp") return [clamp(row - 1, rows), column];
  if (key === "Home") return [row, 0];
  if (key === "End") return [row, columns - 1];
  return null;
}

/** An HTML element: attributes by name, `on` for listeners, children as nodes or text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A region that speaks politely. Saying the same thing twice is heard twice. */
export function announcer() {
  const element = h("div", { class: "lk-live", "aria-live": "polite", role: "status" });
  return {
    element,
    say(text) {
      element.textContent = "";
      setTimeout(() => (element.textContent = text), 30);
    },
  };
}

/**
 * A row of buttons that is one tab stop: arrows move within it.
 * groups: [{label, items: [{id, text, title, pressed, radio, run, disabled}]}]
 */
export function toolbar(label, groups) {
  const bar = h("div", { class: "lk-bar", role: "toolbar", "aria-label": label });
  for (const group of groups) {
    if (!group.items.length) continue;
    bar.append(
      h(
        "span",
        { class: "lk-group", role: "group", "aria-label": group.label },
        group.caption ? h("span", { class: "lk-caption", "aria-hidden": "true" }, group.caption) : null,
        group.items.map((item) =>
          h(
            "button",
            {
              type: "button",
              class: `lk-button ${item.css || ""}`,
              "data-id": item.id,
              title: item.title,
              "aria-pressed": item.pressed === undefined ? null : String(item.pressed),
              disabled: item.disabled,
              tabindex: "-1",
              on: { click: item.run },
            },
            item.text,
          ),
        ),
      ),
    );
  }
  const buttons = [...bar.querySelectorAll("button:not([disabled])")];
  if (buttons[0]) buttons[0].setAttribute("tabindex", "0");
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    stop(event);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    buttons[at].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
  return bar;
}

/** Replace a toolbar without taking the focus away from the button that was pressed. */
export function replaceKeepingFocus(old, fresh) {
  const id = old && old.contains(document.activeElement) ? document.activeElement.getAttribute("data-id") : null;
  if (old) old.replaceWith(fresh);
  const button = id && [...fresh.querySelectorAll("button")].find((found) => found.getAttribute("data-id") === id);
  if (button && !button.disabled) {
    for (const other of fresh.querySelectorAll("button")) other.setAttribute("tabindex", "-1");
    button.setAttribute("tabindex", "0");
    button.focus();
  }
  return fresh;
}

/** JupyterLab listens to keys on the whole cell: what we handle must not reach it. */
export function stop(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** The who-decided panel for one reason record (see reasons.py). */
export function reasonElement(reason) {
  const sign = SIGNS[reason.kind] || SIGNS["?"];
  const observed = reason.observed;
  return h(
    "div",
    { class: "lk-reason" },
    h("h4", { class: `lk-head lk-${sign.css}` }, reason.headline),
    reason.note ? h("p", { class: "lk-aside" }, reason.note) : null,
    observed
      ? h(
          "p",
          { class: `lk-observed lk-${(SIGNS[observed.kind] || SIGNS["?"]).css}` },
          `Observed: ${observed.mark} ${observed.words}`,
          observed.evidence ? h("small", {}, ` (${observed.evidence})`) : null,
        )
      : null,
    reason.disagrees ? h("p", { class: "lk-warn" }, "≠ The cluster does not do what the policies say.") : null,
    h("div", { class: "lk-halves" }, reason.halves.map(halfElement)),
  );
}

function halfElement(half) {
  return h(
    "section",
    { class: `lk-half ${half.allowed ? "lk-half-yes" : "lk-half-no"}` },
    h("h5", {}, half.title),
    h("p", {}, half.summary),
    half.policies.map(policyElement),
    half.unselected && half.unselected.length
      ? h(
          "details",
          {},
          h("summary", {}, half.unselected.length === 1 ? "Another policy of this namespace, which does not count here" : `${half.unselected.length} other policies of this namespace, which do not count here`),
          h("ul", {}, half.unselected.map((other) => h("li", {}, h("code", {}, other.name), `: ${other.reason}`))),
        )
      : null,
  );
}

function policyElement(policy) {
  const yaml = policy.yaml || [];
  return h(
    "div",
    { class: "lk-policy" },
    h("p", {}, h("strong", {}, policy.name), policy.file ? ` (${policy.file})` : "", `: ${policy.summary}`),
    policy.rules.length
      ? h(
          "ul",
          {},
          policy.rules.map((rule) =>
            h(
              "li",
              { class: rule.matched ? "lk-allowed" : "lk-denied" },
              h("span", { class: "lk-tick" }, rule.matched ? "✓ " : "✗ "),
              h("code", {}, rule.path),
              rule.line ? `, line ${rule.line}: ` : ": ",
              h("span", { class: "lk-plain" }, rule.reason),
              rule.steps && rule.steps.length
                ? h(
                    "ul",
                    {},
                    rule.steps.map((step) =>
                      h("li", { class: "lk-denied" }, "✗ ", h("code", {}, step.path), step.line ? `, line ${step.line}: ` : ": ", h("span", { class: "lk-plain" }, step.reason)),
                    ),
                  )
                : null,
            ),
          ),
        )
      : null,
    (policy.traps || []).map((trap) => h("p", { class: "lk-aside" }, trap)),
    yaml.length
      ? h(
          "pre",
          { class: "lk-yaml", tabindex: "-1", "aria-label": `YAML of ${policy.name}; deciding lines are marked` },
          yaml.map((line) =>
            h("span", { class: line.hit ? "lk-hit" : "" }, `${line.hit ? "▶" : " "}${String(line.n).padStart(3)} │ ${line.text}\n`),
          ),
        )
      : null,
  );
}

/**
 * Shows reasons in a panel below the picture. What the page does not have is asked of the kernel.
 * Returns {element, explain(port, source, destination), close(), dispose(), isOpen()}.
 */
export function explainer(model, announce, closed) {
  const body = h("div", {});
  const button = h("button", { type: "button", class: "lk-button lk-close", "aria-label": "Close the reasons", on: { click: close } }, "Close ✕");
  const element = h("div", { class: "lk-panel", role: "region", "aria-label": "Who decided", hidden: true }, button, body);
  let wanted = null;
  let timer = null;
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      stop(event);
      close();
    }
  });
  const answered = (message) => {
    if (message.type !== "reason" || message.key !== wanted) return;
    clearTimeout(timer);
    show(message.reason);
  };
  model.on("msg:custom", answered);
  function show(reason) {
    body.replaceChildren(reasonElement(reason));
    announce(reasonSentence(reason));
  }
  function explain(port, source, destination) {
    wanted = flowKey(port, source, destination);
    element.hidden = false;
    const known = (model.get("reasons") || {})[wanted];
    clearTimeout(timer);
    if (known) return show(known);
    body.replaceChildren(h("p", { class: "lk-aside" }, "Asking the engine…"));
    model.send({ type: "explain", port, source, destination });
    timer = setTimeout(() => {
      body.replaceChildren(
        h("p", { class: "lk-aside" }, "No answer yet. The kernel is busy or not running; run the cell again to ask for reasons."),
      );
    }, 4000);
  }
  function close() {
    if (element.hidden) return;
    wanted = null;
    element.hidden = true;
    closed();
  }
  const dispose = () => {
    clearTimeout(timer);
    model.off("msg:custom", answered);
  };
  return { element, explain, close, dispose, isOpen: () => !element.hidden };
}

/**
 * Beside every widget stands a still picture with a text, open, for readers without a kernel.
 * While the widget itself is on the page the still is folded. Returns a function that ends the watch.
 */
export function foldStills(element, id) {
  if (!id) return () => {};
  const fold = () => {
    for (const found of document.querySelectorAll(`details[data-labkit-still="${id}"][open]:not([data-folded])`)) {
      found.removeAttribute("open");
      found.setAttribute("data-folded", "");
    }
  };
  const observer = new MutationObserver(fold);
  const timer = setTimeout(() => {
    const root = element.closest(".jp-OutputArea, .output_wrapper, .jp-Cell") || document.body;
    observer.observe(root, { childList: true, subtree: true });
    fold();
  }, 0);
  return () => {
    clearTimeout(timer);
    observer.disconnect();
  };
}
