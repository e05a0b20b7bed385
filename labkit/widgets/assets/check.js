// The check panel: Check, progress, result with reasons, hints one at a time, reset that asks first.
import { announcer, foldStills, h, reasonElement, stop } from "./common.js";

/** What is read out when a result arrives. */
export function resultSentence(result) {
  if (!result.status) return "";
  const parts = [`Result: ${result.words}.`];
  if (result.message) parts.push(result.message);
  for (const check of result.checks || []) if (check.status !== "pass") parts.push(`${check.title}: ${check.words}. ${check.message}`);
  return parts.join(" ");
}

/** "2 of 3 points", or nothing where a step has no points. */
export function pointsText(result) {
  return result.max_score ? `${result.score} of ${result.max_score} points` : "";
}

/** The text of the hint button. */
export function hintLabel(hints) {
  if (!hints.total) return "";
  if (hints.shown.length >= hints.total) return "All hints are shown";
  return `${hints.shown.length ? "Next hint" : "Hint"} ${hints.shown.length + 1} of ${hints.total}: ${hints.next}`;
}

/** `code` between backquotes, for the texts of hints and messages: [{text, code}]. */
export function pieces(text) {
  return text.split("`").map((part, index) => ({ text: part, code: index % 2 === 1 })).filter((piece) => piece.text);
}

/** A text in blocks: [{pre, text}]. Code stands between fences or is indented by four spaces, as in Markdown. */
export function blocks(text) {
  const found = [];
  let fenced = false;
  for (const line of text.split("\n")) {
    if (/^\s*```/.test(line)) {
      fenced = !fenced;
      found.push(null);
      continue;
    }
    const code = fenced || line.startsWith("    ");
    const last = found[found.length - 1];
    if (last && (last.pre === code || (!line.trim() && last.pre))) last.lines.push(line);
    else found.push({ pre: code, lines: [line] });
  }
  return found
    .filter((block) => block && block.lines.some((line) => line.trim()))
    .map((block) => {
      const indent = block.pre ? Math.min(...block.lines.filter((l) => l.trim()).map((l) => l.length - l.trimStart().length)) : 0;
      return { pre: block.pre, text: block.lines.map((line) => line.slice(indent)).join("\n").replace(/^\n+|\n+$/g, "") };
    });
}

function prose(text) {
  return blocks(text).map((block) =>
    block.pre
      ? h("pre", { class: "lk-yaml" }, block.text)
      : h("p", { class: "lk-prose" }, pieces(block.text).map((piece) => (piece.code ? h("code", {}, piece.text) : piece.text))),
  );
}

function render({ model, el }) {
  const speech = announcer();
  const get = (name) => model.get(name);
  const root = h("div", { class: "labkit labkit-check", role: "group" });
  const head = h("div", { class: "lk-checkhead" });
  const title = h("div", { class: "lk-title" });
  const text = h("div", {});
  const verdict = h("span", { class: "lk-verdict" });
  const buttons = h("div", { class: "lk-bar" });
  const check = h("button", { type: "button", class: "lk-button lk-primary", on: { click: () => send("check", "Checking.") } }, "Check");
  const hint = h("button", { type: "button", class: "lk-button", on: { click: () => send("hint", "") } });
  const reset = h("button", { type: "button", class: "lk-button", on: { click: () => ask(true) } }, "Reset this step");
  const really = h(
    "div",
    { class: "lk-ask", role: "alertdialog", "aria-label": "Reset this step?", hidden: true },
    h("span", {}, "Put the cluster back to the start of this step? What you applied in this step is removed. "),
    h("button", { type: "button", class: "lk-button lk-danger", on: { click: () => (ask(false), send("reset", "Resetting.")) } }, "Yes, reset"),
    h("button", { type: "button", class: "lk-button lk-no", on: { click: () => ask(false) } }, "No, keep it"),
  );
  const progress = h("div", { class: "lk-progress", hidden: true });
  const result = h("div", { class: "lk-result" });
  const hints = h("div", { class: "lk-hints" });
  head.append(title, verdict);
  buttons.append(check, hint, reset);
  root.append(head, text, buttons, really, progress, result, hints, speech.element);
  el.append(root);

  function send(type, said) {
    if (said) speech.say(said);
    model.send({ type });
    if (type === "check") {
      // The kernel may be busy with a cell: say at once that the click was heard.
      check.disabled = true;
      check.textContent = "Checking …";
      setTimeout(() => drawState(), 8000);
    }
  }

  function ask(open) {
    really.hidden = !open;
    if (open) really.querySelector(".lk-no").focus();
    else reset.focus();
  }
  really.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    stop(event);
    ask(false);
  });

  function drawState() {
    const task = get("task");
    const running = get("state") === "running";
    root.setAttribute("aria-label", `Check: ${task.title || ""}`);
    title.textContent = task.title || "";
    text.replaceChildren(...(task.text ? prose(task.text) : []));
    check.hidden = !task.can_check;
    check.disabled = running;
    check.textContent = running ? "Checking …" : get("result").status ? "Check again" : "Check";
    reset.hidden = !task.can_reset;
    reset.disabled = running;
    root.setAttribute("aria-busy", String(running));
    drawProgress();
  }

  function drawProgress() {
    const now = get("progress");
    const running = get("state") === "running";
    progress.hidden = !now.text || (!running && Boolean(get("result").status));
    if (progress.hidden) return;
    const bar = h("div", { class: `lk-track${now.fraction === null ? " lk-endless" : ""}`, role: "progressbar", "aria-label": "Progress of the check", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": now.fraction === null ? null : Math.round(now.fraction * 100) }, h("span", { style: now.fraction === null ? "" : `width:${Math.round(now.fraction * 100)}%` }));
    progress.replaceChildren(
      running ? bar : "",
      h("ol", { class: "lk-phases" }, (now.done || []).map((done) => h("li", { class: "lk-phase-done" }, `✓ ${done}`)), h("li", {}, running ? `… ${now.text}` : now.text)),
    );
    if (running || now.text) speech.say(now.text);
  }

  function drawResult() {
    const now = get("result");
    verdict.textContent = now.status ? `${now.mark} ${now.words}${pointsText(now) ? ` · ${pointsText(now)}` : ""}` : "";
    verdict.className = `lk-verdict lk-v-${now.status || "none"}`;
    result.replaceChildren();
    if (!now.status) return drawState();
    if (now.message) result.append(...prose(now.message));
    result.append(
      h(
        "ul",
        { class: "lk-checks" },
        (now.checks || []).map((item) =>
          h(
            "li",
            { class: `lk-c-${item.status}` },
            h("p", { class: "lk-checktitle" }, h("span", { class: "lk-checkmark" }, item.mark), ` ${item.title}`, h("small", {}, ` ${item.words}`)),
            item.status === "pass" ? null : item.message.split("\n\n").flatMap((part) => prose(part)),
            item.reasons.length
              ? h(
                  "details",
                  {},
                  h("summary", {}, item.reasons.length === 1 ? "Who decided, and in which line" : `Who decided (${item.reasons.length} flows), and in which lines`),
                  item.reasons.map((reason) => h("div", { class: "lk-panel" }, reason.must ? h("p", { class: "lk-warn" }, `This flow ${reason.must}.`) : null, reasonElement(reason))),
                )
              : null,
          ),
        ),
      ),
    );
    drawState();
  }

  function drawHints() {
    const now = get("hints");
    hint.hidden = !now.total;
    hint.textContent = hintLabel(now);
    hint.disabled = now.shown.length >= now.total;
    hints.replaceChildren(
      ...now.shown.map((item) => h("section", { class: "lk-hint" }, h("h5", {}, `Hint ${item.level} of ${now.total}: ${item.rung}`), prose(item.text))),
    );
  }

  const listeners = {
    "change:task": drawState,
    "change:state": drawState,
    "change:progress": drawProgress,
    "change:result": () => {
      drawResult();
      speech.say(resultSentence(get("result")));
    },
    "change:hints": () => {
      drawHints();
      const shown = get("hints").shown;
      if (shown.length) speech.say(`Hint ${shown.length}: ${shown[shown.length - 1].text}`);
    },
  };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  const unfold = foldStills(el, get("still"));
  drawResult();
  drawHints();
  return () => {
    unfold();
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

export default { render };
