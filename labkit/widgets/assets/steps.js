// Steps with their times: what is done, what is at work and for how long, what failed. Nothing to press.
import { announcer, foldStills, h } from "./common.js";

export const MARKS = { running: "…", done: "✓", failed: "✗" };
const WORDS = { running: "at work", done: "done", failed: "failed" };
/** Milliseconds without a sign of life after which the page no longer counts on. */
export const SILENCE = 15000;

/** A time for people, as labkit.cluster.steps.seconds says it. */
export function timeText(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** What a step's time is `age` milliseconds after the kernel told it: a running one goes on. */
export function timeNow(step, age) {
  return step.state === "running" ? step.seconds + Math.max(0, age) / 1000 : step.seconds;
}

/** The moment up to which is counted: now, or when the kernel was last heard of, if that is long ago. All in milliseconds. */
export function countedUntil(now, heard) {
  return now - heard > SILENCE ? heard : now;
}

/** What is read out when the steps have changed from `before` to `now`: what failed, what began, that all is over. */
export function stepSentence(before, now, closed) {
  const parts = [];
  now.forEach((step, index) => {
    const old = before[index];
    if (step.state === "failed" && (!old || old.state !== "failed")) parts.push(`Failed: ${step.title}${step.note ? `, ${step.note}` : ""}.`);
    else if (!old && step.state === "running") parts.push(`${step.title}.`);
  });
  if (closed && now.length && now.every((step) => step.state === "done")) parts.push("All done.");
  return parts.join(" ");
}

/** The sum of all steps' times. */
export function total(steps, age) {
  return steps.reduce((sum, step) => sum + timeNow(step, age), 0);
}

function render({ model, el }) {
  const speech = announcer();
  const get = (name) => model.get(name);
  const title = h("div", { class: "lk-title" });
  const whole = h("span", { class: "lk-whole" });
  const list = h("ol", { class: "lk-steps" });
  const warnings = h("ul", { class: "lk-warnings" });
  const lost = h("p", { class: "lk-warn", hidden: true });
  const root = h("div", { class: "labkit labkit-steps", role: "group" }, h("div", { class: "lk-stephead" }, title, whole), list, warnings, lost, speech.element);
  el.append(root);
  let before = [];
  let told = performance.now(); // when the kernel last told the steps
  let heard = performance.now(); // when it was last heard of at all
  let times = [];

  function draw() {
    const steps = get("steps");
    told = performance.now();
    title.textContent = get("task").title || "";
    root.setAttribute("aria-label", get("task").title || "");
    times = steps.map(() => h("span", { class: "lk-time" }));
    list.replaceChildren(
      ...steps.map((step, index) =>
        h(
          "li",
          { class: `lk-step lk-s-${step.state}`, "aria-current": step.state === "running" ? "step" : null },
          h("span", { class: "lk-stepmark", "aria-hidden": "true" }, MARKS[step.state]),
          h("span", { class: "lk-steptext" }, step.title, h("span", { class: "lk-live" }, ` (${WORDS[step.state]})`), step.note && step.state !== "done" ? h("small", {}, ` ${step.note}`) : null),
          times[index],
        ),
      ),
    );
    warnings.replaceChildren(...get("warnings").map((text) => h("li", {}, h("span", { "aria-hidden": "true" }, "! "), text)));
    warnings.hidden = !get("warnings").length;
    const said = stepSentence(before, steps, get("closed"));
    if (said) speech.say(said);
    before = steps;
    tick();
  }

  function tick() {
    const now = performance.now();
    const steps = get("steps");
    const silent = get("closed") ? 0 : now - heard;
    const age = countedUntil(now, now - silent) - told;
    steps.forEach((step, index) => {
      if (times[index]) times[index].textContent = timeText(timeNow(step, age));
    });
    whole.textContent = steps.length ? `${timeText(total(steps, age))}${get("closed") ? " in all" : ""}` : "";
    lost.hidden = silent <= SILENCE;
    if (!lost.hidden) lost.textContent = `No word from the kernel for ${timeText(silent / 1000)}: whether the work goes on cannot be seen from here.`;
    root.setAttribute("aria-busy", String(!get("closed") && lost.hidden));
    if (get("closed")) stopClock();
  }

  function changed() {
    heard = performance.now();
    draw();
  }
  const beat = () => {
    heard = performance.now();
  };
  let clock = setInterval(tick, 200);
  function stopClock() {
    clearInterval(clock);
    clock = null;
  }
  // One message from the kernel changes several of these: they are drawn once.
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      changed();
    });
  };
  const listeners = { "change:steps": soon, "change:warnings": soon, "change:closed": soon, "change:task": soon, "change:beat": beat };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  const unfold = foldStills(el, get("still"));
  draw();
  return () => {
    stopClock();
    unfold();
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

export default { render };
