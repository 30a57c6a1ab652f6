// One training run, from its start to its end, drawn as it goes.

import { Run } from "./experiment.js";
import { element } from "./figure.js";

/** Steps between two looks at held-out problems, at so many of them, and the singular values that fit the plot. */
const [EVERY, PROBLEMS, VALUES] = [10, 50, 32];
const STILL = matchMedia("(prefers-reduced-motion: reduce)").matches;
/** Steps between two drawings. */
const DRAW = STILL ? 50 : 2;

/** A place in the race. `plots` are those of loss, exact answers and singular values; `digits` says what to sort. */
export class Learner {
  #plots;
  #digits;
  #run = null;
  /** The method that `#run` trains; the controls may be set to another by now. */
  #label;
  answer = element("p");

  constructor({ name, controls, plots, digits }) {
    Object.assign(this, { name, controls });
    this.#plots = plots;
    this.#digits = digits;
  }

  /** Trains to the end; `progress` hears of every 50th step and how many come in a second. Says what came out. */
  async learn(progress) {
    const { settings, method } = this.controls;
    const classes = `live-${method.name} live-${this.name}`;
    const { loss, exact, values } = this.#plots;
    const run = new Run("train", settings, new URL("tiny.safetensors", import.meta.url).href);
    [this.#run, this.#label] = [run, method.label];
    await run.ready;
    const { trainable, parameters, modules, warnings } = await run.ask("facts");
    const points = { loss: [], exact: [] };
    const look = async (steps) => {
      points.exact.push([steps, (await run.ask({ held_out: PROBLEMS })).exact]);
      const change = await run.ask({ change: modules[0] });
      const shown = change.slice(0, VALUES).map((sigma, i) => [i + 1, sigma]);
      values.line(this.name, shown, classes);
      await this.write();
    };
    const draw = () => {
      loss.line(this.name, points.loss, classes);
      exact.line(this.name, points.exact, classes);
    };
    await look(0);
    const began = performance.now();
    let rate = 0;
    for (let steps = 0; steps < settings.steps; ) {
      const answer = await run.ask("step");
      steps = answer.steps;
      points.loss.push([steps, answer.loss]);
      if (steps % EVERY === 0) {
        await look(steps);
      }
      if (steps % DRAW === 0) {
        draw();
      }
      if (steps % 50 === 0) {
        rate = (steps / (performance.now() - began)) * 1000;
        progress(steps, settings.steps, rate);
      }
    }
    const numbers = `${trainable.toLocaleString("en")} of ${parameters.toLocaleString("en")} numbers trained`;
    const result = `loss ${points.loss.at(-1)[1].toPrecision(3)}, exact ${(100 * points.exact.at(-1)[1]).toFixed(0)}%`;
    return [`${method.label}: ${numbers}, ${result}, ${rate.toFixed(0)} steps a second.`, ...warnings].join(" ");
  }

  /** What the model makes of the reader's digits: right ones are bold, wrong ones struck out. */
  async write() {
    const digits = this.#digits();
    if (!this.#run || !/^[0-9]{8}$/.test(digits)) {
      return;
    }
    const { written, right } = await this.#run.ask({ write: digits });
    const marks = [...written].map((digit, i) => element(digit === right[i] ? "b" : "s", {}, digit));
    const end = written === right ? " ✓" : "";
    this.answer.replaceChildren(`${this.#label} writes `, ...marks, end);
  }

  stop() {
    this.#run?.end();
    this.#run = null;
  }
}
