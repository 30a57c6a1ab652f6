// "Train it": the embedded transformer learns to sort the other way round, in one run or in two that race.

import { code } from "./code.js";
import { element, figure, fromAddress, toAddress } from "./figure.js";
import { Learner } from "./learner.js";
import { plot } from "./plot.js";
import { controls } from "./run.js";

const ID = "live-train";
/** On two cores of a server, in Chromium. */
const MILLISECONDS_A_PROBLEM = 3;
const DECADES = ["0.001", "0.01", "0.1", "1", "10"].map((text) => [Number(text), text]);
const PARTS = [0, 0.5, 1].map((part) => [part, `${100 * part}%`]);

const place = figure(ID);
const address = fromAddress(ID) ?? new URLSearchParams();
const methods = await (await fetch(new URL("methods.json", import.meta.url))).json();

const race = element("input", { type: "checkbox", checked: address.has("b.method") });
const digits = element("input", { value: address.get("digits") ?? "31415926", maxLength: 8, inputMode: "numeric" });
const [start, stop, reset] = ["Start", "Stop", "Reset"].map((text) => element("button", { type: "button" }, text));
const status = element("p", { role: "status", className: "live-status" });
const commands = element("pre", { className: "live-command", tabIndex: 0 });
const answers = element("div", { className: "live-answers" });
const lines = code();
const plots = {
  loss: plot({ title: "loss", x: 400, y: DECADES, log: true, xLabel: "step" }),
  exact: plot({ title: "answered exactly", x: 400, y: PARTS, xLabel: "step" }),
  values: plot({ title: "singular values of ΔW", x: 32, y: DECADES, log: true, xLabel: "k" }),
};

const ofB = new URLSearchParams({ method: "vera" });
for (const [name, value] of address) {
  if (name.startsWith("b.")) {
    ofB.set(name.slice(2), value);
  }
}
const learners = [
  ["a", "Run A", address],
  ["b", "Run B, dashed", ofB],
].map(([name, title, given]) => {
  const own = controls({ title, methods, given, changed: show });
  return new Learner({ name, controls: own, plots, digits: () => digits.value });
});

function racing() {
  return race.checked ? learners : learners.slice(0, 1);
}

/** What follows from the settings, before a run. */
function show() {
  learners[1].controls.fieldset.hidden = !race.checked;
  const seconds = racing().map(
    ({ controls: { settings } }) => settings.steps * settings.batch * MILLISECONDS_A_PROBLEM * 1e-3,
  );
  status.textContent = `About ${Math.ceil(Math.max(...seconds))} s, in this page.`;
  commands.textContent = racing()
    .map(({ controls: { command } }) => command)
    .join("\n");
  const { file, anchors } = learners[0].controls.method.code;
  lines.show(anchors.map((anchor) => [file, anchor]));
}

/** Ends what runs and wipes what was drawn. */
function clear() {
  for (const learner of learners) {
    learner.stop();
    learner.answer.replaceChildren();
  }
  for (const one of Object.values(plots)) {
    one.clear();
  }
}

function progress(steps, most, rate) {
  status.textContent = `Step ${steps} of ${most}, about ${Math.ceil((most - steps) / rate)} s to go.`;
}

async function run() {
  clear();
  show();
  [start.disabled, stop.disabled] = [true, false];
  stop.focus();
  const ofB = Object.entries(learners[1].controls.flat).map(([name, value]) => [`b.${name}`, value]);
  const settings = { ...learners[0].controls.flat, digits: digits.value };
  toAddress(ID, race.checked ? { ...settings, ...Object.fromEntries(ofB) } : settings);
  const most = Math.max(...racing().map(({ controls }) => controls.settings.steps));
  [plots.loss.most, plots.exact.most] = [most, most];
  try {
    const results = await Promise.all(racing().map((learner) => learner.learn(progress)));
    status.textContent = results.join(" ");
  } catch ({ message }) {
    if (message !== "stopped") {
      status.textContent = `The run ended: ${message}.`;
      learners.forEach((learner) => void learner.stop());
    }
  }
  [start.disabled, stop.disabled] = [false, true];
}

start.addEventListener("click", run);
stop.addEventListener("click", () => {
  learners.forEach((learner) => void learner.stop());
  status.textContent = "Stopped.";
});
reset.addEventListener("click", () => {
  clear();
  show();
});
race.addEventListener("change", show);
digits.addEventListener("input", () => learners.forEach((learner) => void learner.write().catch(() => {})));

stop.disabled = true;
answers.append(...learners.map(({ answer }) => answer));
place.append(
  element("div", { className: "live-row" }, ...learners.map(({ controls }) => controls.fieldset)),
  element("label", { className: "live-check" }, race, " two runs race"),
  element("p", {}, element("label", {}, "eight digits ", digits)),
  element("p", {}, start, stop, reset),
  status,
  element("div", { className: "live-row" }, ...Object.values(plots).map(({ svg }) => svg)),
  answers,
  element("p", {}, "The same natively:"),
  commands,
  lines.details,
);
show();
