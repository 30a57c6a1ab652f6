// VeRA: two layers share A and B; d and b are theirs.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { choice, element, slider, startable } from "./figure.js";
import { shape } from "./plot.js";

const ID = "live-shared";
const [OUT, INPUTS, RANK] = [6, 8, 4];

/** A matrix as squares: the sign is the colour and the mark, the size the area. */
function squares(title, rows, columns, classes) {
  const svg = shape("svg", {
    viewBox: `0 -14 ${10 * columns} ${10 * rows + 14}`,
    class: "live-matrix",
    role: "img",
    width: 20 * columns,
  });
  svg.setAttribute("aria-label", title);
  svg.append(
    shape("text", { x: 0, y: -4 }, title),
    shape("rect", { width: 10 * columns, height: 10 * rows, class: "live-frame" }),
  );
  const cells = Array.from({ length: rows * columns }, () => svg.appendChild(shape("rect", {})));
  return {
    svg,
    show(matrix, largest) {
      matrix.flat().forEach((value, i) => {
        const side = 9.5 * Math.sqrt(Math.min(1, Math.abs(value) / largest));
        const at = (place) => 10 * place + 5 - side / 2;
        const places = { x: at(i % columns), y: at(Math.floor(i / columns)), width: side, height: side };
        for (const [name, number] of Object.entries(places)) {
          cells[i].setAttribute(name, number);
        }
        cells[i].setAttribute("class", value < 0 ? `${classes} live-negative` : classes);
      });
    },
  };
}

startable(ID, (place) => {
  const d = [0, 1].map((layer) => Array(RANK).fill(layer ? 0.5 : 1));
  const b = [0, 1].map((layer) => Array.from({ length: OUT }, (_, i) => (layer ? i % 2 : 1)));
  const which = choice({
    label: "sliders of",
    options: [
      ["0", "layer 1"],
      ["1", "layer 2"],
    ],
    value: "0",
    changed: turn,
  });
  const status = element("p", { role: "status", className: "live-status" });
  const shared = [squares("A, shared", RANK, INPUTS, "live-full"), squares("B, shared", OUT, RANK, "live-full")];
  const deltas = [1, 2].map((layer) => squares(`ΔW of layer ${layer}`, OUT, INPUTS, "live-vera"));
  const of = (name) => slider({ label: name, min: -2, max: 2, step: 0.5, place: 0, changed: change });
  const ofD = Array.from({ length: RANK }, (_, i) => of(`d${"₁₂₃₄"[i]}`));
  const ofB = Array.from({ length: OUT }, (_, i) => of(`b${"₁₂₃₄₅₆"[i]}`));
  const lines = code();
  lines.show(
    ["forward", "delta"].map((anchor) => ["crates/vera/src/cpu.rs", anchor]),
    "cargo run -p lowrank-vera --example checkpoint",
  );
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("shared", {}), show, fail);

  /** The sliders of the other layer. */
  function turn() {
    const layer = Number(which.select.value);
    for (const [sliders, values] of [
      [ofD, d[layer]],
      [ofB, b[layer]],
    ]) {
      sliders.forEach((one, i) => {
        one.place = values[i];
      });
    }
  }

  function change() {
    const layer = Number(which.select.value);
    d[layer] = ofD.map(({ value }) => value);
    b[layer] = ofB.map(({ value }) => value);
    answer({ d, b });
  }

  function show({ shared_a: a, shared_b, delta, rank }) {
    shared[0].show(a, 3);
    shared[1].show(shared_b, 3);
    delta.forEach((matrix, i) => {
      deltas[i].show(matrix, 8);
    });
    const largest = delta.map((matrix) => Math.max(...matrix.flat().map(Math.abs)).toFixed(2));
    status.textContent =
      `ΔW of layer 1 has rank ${rank[0]} and numbers up to ${largest[0]}; that of layer 2 has rank ${rank[1]} and numbers up to ${largest[1]}. ` +
      `Each layer trains ${RANK + OUT} numbers; the ${RANK * (INPUTS + OUT)} of A and B are never trained.`;
  }

  const drawn = [...shared, ...deltas].map(({ svg }) => svg);
  place.append(
    element("div", { className: "live-row" }, ...drawn),
    status,
    which.row,
    ...[...ofD, ...ofB].map(({ row }) => row),
    lines.details,
  );
  turn();
  change();
});
