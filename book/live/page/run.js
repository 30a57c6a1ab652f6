// The controls of one training run: what a reader can tell it, and the command that does the same natively.

import { choice, element, slider } from "./figure.js";

const POWER = { at: (place) => 2 ** place, back: Math.log2 };
const DECADE = { at: (place) => Number((10 ** place).toPrecision(2)), back: Math.log10 };
export const TARGETS = [
  "q_proj,v_proj",
  "q_proj",
  "q_proj,k_proj,v_proj,o_proj",
  "gate_proj,up_proj,down_proj",
  "all-linear",
];
/** What can be set: [option, label, of the slider]. Each method has some of them. */
const OPTIONS = [
  ["rank", "rank r", { min: 0, max: 8, ...POWER }],
  ["alpha", "α", { min: 0, max: 9, ...POWER }],
  ["lambda", "λ, how far W follows", { min: 0, max: 8, step: 0.5 }],
  ["lr-ratio", "λ, B’s rate over A’s", { min: 0, max: 7, ...POWER }],
  ["start-step", "K, W moves from step", { min: 0, max: 500, step: 10 }],
];
const RUN = [
  ["lr", "learning rate", { min: -5, max: 2, step: 0.05, ...DECADE }],
  ["batch", "problems a step", { min: 0, max: 6, ...POWER }],
  ["steps", "steps", { min: 100, max: 1000, step: 100 }],
];

/** Where a slider stands for a setting. */
function placeOf({ back = (x) => x, min, max, step = 1 }, setting) {
  return Math.min(max, Math.max(min, Math.round(back(setting) / step) * step));
}

/** The controls of a run; `methods` is methods.json, `given` may hold settings, `changed` is called after a change. */
export function controls({ title, methods, given, changed }) {
  const fields = element("div");
  const sliders = new Map();
  let targets;
  let method;

  /** A run that ends before W moves would show nothing of it. */
  function shorten(steps) {
    const start = sliders.get("start-step");
    if (start?.value >= steps) {
      start.place = steps / 4;
    }
    changed(steps);
  }

  function build(name, from) {
    method = methods.find((one) => one.name === name) ?? methods[1];
    sliders.clear();
    const own = OPTIONS.filter(([option]) => option in method.options);
    const otherwise = { ...method.options, ...method.run };
    // The paper's K, 500, would be never in a short run. The command line does so too.
    otherwise["start-step"] = Math.min(otherwise["start-step"], (from.get("steps") ?? otherwise.steps) / 4);
    for (const [option, label, of] of [...own, ...RUN]) {
      const setting = Number(from.get(option) ?? otherwise[option]);
      const then = option === "steps" ? shorten : changed;
      sliders.set(option, slider({ label, ...of, place: placeOf(of, setting), changed: then }));
    }
    const rows = [...sliders.values()].map(({ row }) => row);
    targets = null;
    if ("targets" in method.options) {
      const value = TARGETS.find((one) => one === from.get("targets")) ?? method.options.targets;
      const options = TARGETS.map((one) => [one, one.replaceAll("_proj", "").replaceAll(",", " ")]);
      targets = choice({ label: "adapted", options, value, changed });
      rows.push(targets.row);
    }
    fields.replaceChildren(...rows);
  }

  const names = methods.map(({ name, label }) => [name, label]);
  const start = given.get("method") ?? "lora";
  build(start, given);
  const value = method.name;
  const pick = choice({
    label: "method",
    options: names,
    value,
    changed: (name) => {
      build(name, new Map());
      changed();
    },
  });
  return {
    fieldset: element("fieldset", { className: "live-run" }, element("legend", {}, title), pick.row, fields),
    get method() {
      return method;
    },
    /** As the address has them. */
    get flat() {
      const all = [...sliders].map(([name, { value }]) => [name, String(value)]);
      return Object.fromEntries([
        ["method", method.name],
        ...all,
        ...(targets ? [["targets", targets.select.value]] : []),
      ]);
    },
    /** As the experiment takes them. */
    get settings() {
      const { method, lr, steps, batch, ...options } = this.flat;
      return { method, options, lr: Number(lr), steps: Number(steps), batch: Number(batch), seed: 0 };
    },
    get command() {
      const flags = Object.entries(this.flat).map(([name, value]) => ` --${name} ${value}`);
      return `cargo run --release -p lowrank-cli -- finetune${flags.join("")}`;
    },
  };
}
