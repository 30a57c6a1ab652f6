// LoRA+: the loss at every pair of learning rates, and a path through it on which B's rate is λ times A's.

import { code } from "./code.js";
import { Run } from "./experiment.js";
import { choice, element, slider, startable, toAddress } from "./figure.js";
import { grid, power } from "./grid.js";
import { plot } from "./plot.js";

const ID = "live-landscape";
/** Exponents of 2. */
const POWERS = Array.from({ length: 11 }, (_, i) => i - 11);
/** All pairs, those of the chapter's table first. */
const PAIRS = POWERS.flatMap((a) => POWERS.map((b) => [a, b]));
const ofTable = ([a, b]) => a % 2 !== 0 && b % 2 !== 0;
const ORDER = [...PAIRS.filter(ofTable), ...PAIRS.filter((pair) => !ofTable(pair))];
const LOSSES = ["0.01", "0.1", "1", "10"].map((text) => [Number(text), text]);
const TASKS = [
  ["3", "three tasks, their mean"],
  ["1", "the first task"],
];

const lowest = (points) => points.reduce((best, point) => (point[1] < best[1] ? point : best));

startable(ID, (place, address) => {
  const given = (name, otherwise) => Number(address.get(name) ?? otherwise);
  const show2 = { show: (k) => String(2 ** k), changed: moved };
  const ratio = slider({ label: "λ = η_B / η_A", min: -10, max: 10, place: given("ratio", 4), ...show2 });
  const rate = slider({ label: "η_A", min: -11, max: -1, place: given("rate", -9), show: power, changed: moved });
  const widths = { min: 5, max: 8, at: (k) => 2 ** k, changed: fill };
  const width = slider({ label: "width n", place: Math.log2(given("width", 256)), ...widths });
  const tasks = choice({ label: "loss of", options: TASKS, value: address.get("tasks") ?? "3", changed: fill });
  const [stop, again] = ["Stop", "Again"].map((words) => element("button", { type: "button" }, words));
  const [progress, status] = [element("p"), element("p", { role: "status", className: "live-status" })];
  const pairs = grid(POWERS, (a, b) => {
    [ratio.place, rate.place] = [b - a, a];
    moved();
  });
  const along = plot({
    title: "loss on the path; dashed: λ = 1, LoRA",
    x: 10,
    y: LOSSES,
    log: true,
    xLabel: "η_A from 2^−11 to 2^−1",
  });
  const lines = code();
  const losses = new Map();
  let run;

  /** Trains at every pair, and draws each as it comes. */
  async function fill() {
    run?.end();
    const mine = new Run("landscape", { width: width.value, tasks: Number(tasks.select.value) });
    run = mine;
    losses.clear();
    pairs.clear();
    moved();
    stop.disabled = false;
    const began = performance.now();
    try {
      await mine.ready;
      for (const [i, [a, b]] of ORDER.entries()) {
        const { loss } = await mine.ask({ lr_a: 2 ** a, lr_b: 2 ** b });
        losses.set(`${a},${b}`, loss);
        pairs.paint(a, b, loss);
        show();
        const seconds = ((performance.now() - began) / 1000 / (i + 1)) * (ORDER.length - i - 1);
        progress.textContent = `${i + 1} of ${ORDER.length} pairs, about ${Math.ceil(seconds)} s to go.`;
      }
      progress.textContent = `All ${ORDER.length} pairs.`;
      mine.end();
    } catch ({ message }) {
      if (run !== mine) {
        return;
      }
      progress.textContent = message === "stopped" ? "Stopped." : `${message}.`;
    }
    stop.disabled = true;
  }

  /** On the path of the ratio 2^k: [exponent of A, loss], where it is a number and known. */
  function on(k) {
    const points = POWERS.map((a) => [a, losses.get(`${a},${a + k}`) ?? null]);
    return points.filter(([, loss]) => loss !== null);
  }

  function show() {
    const [k, a] = [ratio.value, rate.value];
    pairs.path(k, a);
    const points = (k) => on(k).map(([a, loss]) => [a + 11, loss]);
    along.line("one", points(0), "live-lora live-b");
    along.line("path", points(k), "live-lora-plus");
    if (!on(0).length || !on(k).length) {
      status.textContent = "No pair on the path, or none on that of λ = 1, is trained yet.";
      return;
    }
    const [one, best] = [lowest(on(0)), lowest(on(k))];
    const known = PAIRS.filter(([a, b]) => (losses.get(`${a},${b}`) ?? null) !== null);
    const [[bestA, bestB], loss] = lowest(known.map((pair) => [pair, losses.get(pair.join(","))]));
    const now = losses.get(`${a},${a + k}`);
    const shown = now === null ? "too large to be a number" : now?.toPrecision(3);
    status.textContent =
      `The loss after ten updates: with λ = ${2 ** k} it is ${best[1].toPrecision(3)} at best, at η_A = ${power(best[0])}; with one rate for both ` +
      `${one[1].toPrecision(3)}, at ${power(one[0])}; of all pairs ${loss.toPrecision(3)}, at λ = ${2 ** (bestB - bestA)}. ` +
      (shown ? `At η_A = ${power(a)} and η_B = ${power(a + k)} it is ${shown}.` : "");
  }

  function moved() {
    show();
    toAddress(ID, { ratio: ratio.value, rate: rate.value, width: width.value, tasks: tasks.select.value });
  }

  stop.addEventListener("click", () => run.end());
  again.addEventListener("click", fill);
  const controls = [ratio.row, rate.row, width.row, tasks.row, element("p", {}, stop, again), progress];
  const beside = element("div", { className: "live-run" }, ...controls);
  place.append(element("div", { className: "live-row" }, pairs.svg, beside), status, along.svg, lines.details);
  lines.show(
    [
      ["crates/lora-plus/src/task.rs", "train"],
      ["crates/lora-plus/src/cpu.rs", "step"],
    ],
    "cargo run -p lowrank-lora-plus --example rates",
  );
  fill();
});
