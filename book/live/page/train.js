// "Train it": the embedded transformer learns to sort the other way round, in one run or in two that race.

import { code } from "./code.js";
import { Run, element, figure, fromAddress, toAddress } from "./figure.js";
import { plot } from "./plot.js";
import { controls } from "./run.js";

const ID = "live-train";
const [EVERY, PROBLEMS] = [10, 50];
const MILLISECONDS_A_PROBLEM = 2;
const POWERS = { 0.001: "0.001", 0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10" };
const ticks = (...values) => values.map((value) => [value, POWERS[value]]);

const place = figure(ID);
const address = fromAddress(ID) ?? new URLSearchParams();
const methods = await (await fetch(new URL("methods.json", import.meta.url))).json();
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

const race = element("input", { type: "checkbox", checked: address.has("b.method") });
const digits = element("input", { value: address.get("digits") ?? "31415926", maxLength: 8, inputMode: "numeric", pattern: "[0-9]{8}" });
const [start, stop, reset] = ["Start", "Stop", "Reset"].map((text) => element("button", { type: "button" }, text));
const status = element("p", { role: "status", className: "live-status" });
const commands = element("pre", { className: "live-command", tabIndex: 0 });
const lines = code();
const answers = element("div", { className: "live-answers" });
const loss = plot({ title: "loss", x: 400, y: ticks(0.001, 0.01, 0.1, 1, 10), log: true, xLabel: "step" });
const exact = plot({ title: "answered exactly", x: 400, y: [[0, "0%"], [0.5, "50%"], [1, "100%"]], xLabel: "step" });
const values = plot({ title: "singular values of ΔW", x: 32, y: ticks(0.001, 0.01, 0.1, 1, 10), log: true, xLabel: "k" });

const ofB = new Map([...address].filter(([name]) => name.startsWith("b.")).map(([name, value]) => [name.slice(2), value]));
const sides = [
  { name: "a", controls: controls({ title: "Run A", methods, given: address, changed: show }) },
  { name: "b", controls: controls({ title: "Run B, dashed", methods, given: ofB.size ? ofB : new Map([["method", "vera"]]), changed: show }) },
];
const racing = () => (race.checked ? sides : sides.slice(0, 1));

/** What follows from the settings, before a run. */
function show() {
  sides[1].controls.fieldset.hidden = !race.checked;
  const settings = racing().map(({ controls }) => controls.settings);
  const seconds = settings.reduce((sum, { steps, batch }) => sum + (steps * batch * MILLISECONDS_A_PROBLEM) / 1000, 0);
  status.textContent = `About ${Math.ceil(seconds)} s, in this page.`;
  commands.textContent = racing().map(({ controls }) => controls.command).join("\n");
  const { file, anchors } = sides[0].controls.method.code;
  lines.show(anchors.map((anchor) => [file, anchor]));
}

async function go(side, most) {
  const { settings, method } = side.controls;
  const classes = `live-${method.name} live-${side.name}`;
  const run = new Run("train", settings, new URL("tiny.safetensors", import.meta.url).href);
  side.run = run;
  const points = { loss: [], exact: [] };
  const draw = () => {
    loss.line(side.name, points.loss, classes);
    exact.line(side.name, points.exact, classes);
  };
  const look = async (steps) => {
    const [score, change] = [await run.ask({ held_out: PROBLEMS }), await run.ask({ change: module })];
    points.exact.push([steps, score.exact]);
    values.line(side.name, change.slice(0, 32).map((sigma, i) => [i + 1, sigma]), classes);
    await write(side);
  };
  await run.ready;
  const facts = await run.ask("facts");
  const module = facts.modules[0];
  side.facts = `${method.label}: ${facts.trainable.toLocaleString("en")} of ${facts.parameters.toLocaleString("en")} numbers trained. ${facts.warnings.join(" ")}`;
  await look(0);
  const began = performance.now();
  for (let steps = 0; steps < settings.steps; ) {
    const answer = await run.ask("step");
    steps = answer.steps;
    side.last = answer;
    points.loss.push([steps, answer.loss]);
    if (steps % EVERY === 0) {
      await look(steps);
    }
    if (steps % (still ? 50 : 2) === 0) {
      draw();
    }
    if (steps % 50 === 0) {
      side.rate = (steps / (performance.now() - began)) * 1000;
      status.textContent = `Step ${steps} of ${most}, about ${Math.ceil((most - steps) / side.rate)} s to go.`;
    }
  }
  draw();
  return `${side.facts} Loss ${side.last.loss.toPrecision(3)}, exact ${(100 * points.exact.at(-1)[1]).toFixed(0)}%, ${side.rate.toFixed(0)} steps a second. `;
}

/** What the model makes of the reader's digits. */
async function write(side) {
  if (!side.run || !/^[0-9]{8}$/.test(digits.value)) {
    return;
  }
  const { written, right } = await side.run.ask({ write: digits.value });
  const marks = [...written].map((digit, i) => element(digit === right[i] ? "b" : "s", {}, digit));
  side.answer ??= element("p");
  side.answer.replaceChildren(`${side.controls.method.label} writes `, ...marks, written === right ? " ✓" : "");
  answers.append(side.answer);
}

function end() {
  for (const side of sides) {
    side.run?.end();
    side.run = null;
  }
  start.disabled = false;
  stop.disabled = true;
}

start.addEventListener("click", async () => {
  end();
  clear();
  [start.disabled, stop.disabled] = [true, false];
  const b = race.checked ? Object.entries(sides[1].controls.flat).map(([name, value]) => [`b.${name}`, value]) : [];
  toAddress(ID, { ...sides[0].controls.flat, ...Object.fromEntries(b), digits: digits.value });
  const most = Math.max(...racing().map(({ controls }) => controls.settings.steps));
  loss.most = exact.most = most;
  try {
    const said = await Promise.all(racing().map((side) => go(side, most)));
    status.textContent = said.join("");
  } catch (error) {
    status.textContent = error.message === "stopped" ? "Stopped." : `Run ended: ${error.message}.`;
    sides.forEach((side) => side.run?.end());
  }
  [start.disabled, stop.disabled] = [false, true];
});
function clear() {
  [loss, exact, values].forEach((one) => one.clear());
  answers.replaceChildren();
}
stop.addEventListener("click", end);
reset.addEventListener("click", () => {
  end();
  clear();
  show();
});
race.addEventListener("change", show);
digits.addEventListener("input", () => sides.forEach((side) => write(side).catch(() => {})));

place.append(
  element("div", { className: "live-row" }, ...sides.map(({ controls }) => controls.fieldset)),
  element("label", { className: "live-check" }, race, " two runs race"),
  element("p", {}, element("label", {}, "eight digits ", digits)),
  element("p", {}, start, stop, reset),
  status,
  element("div", { className: "live-row" }, loss.svg, exact.svg, values.svg),
  answers,
  element("p", {}, "The same natively:"),
  commands,
  lines.details,
);
stop.disabled = true;
show();
