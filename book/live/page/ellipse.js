// A 2 × 2 matrix by its columns, which can be dragged, and the ellipse that it makes of the unit circle.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";
import { shape } from "./plot.js";

const ID = "live-ellipse";
const SIDE = 4;
const START = [2, 1, -1, 1.5];
const NAMES = ["column 1, x", "column 1, y", "column 2, x", "column 2, y"];

startable(ID, (place, address) => {
  const svg = shape("svg", { viewBox: `${-SIDE} ${-SIDE} ${2 * SIDE} ${2 * SIDE}`, class: "live-plane", role: "img" });
  svg.setAttribute("aria-label", "The unit circle, the ellipse and its half axes");
  // Upwards is up.
  const plane = svg.appendChild(shape("g", { transform: "scale(1,-1)" }));
  const line = (name) => plane.appendChild(shape("line", { x1: 0, y1: 0, class: name }));
  plane.append(
    shape("line", { x1: -SIDE, x2: SIDE, class: "live-grid" }),
    shape("line", { y1: -SIDE, y2: SIDE, class: "live-grid" }),
  );
  plane.append(shape("circle", { r: 1, class: "live-circle" }));
  const ellipse = plane.appendChild(shape("polygon", { class: "live-ellipse" }));
  const axes = [line("live-axis"), line("live-axis")];
  const arrows = [line("live-column"), line("live-column")];
  const handles = [0, 1].map(() => plane.appendChild(shape("circle", { r: 0.28, class: "live-handle" })));
  const status = element("p", { role: "status", className: "live-status" });
  const lines = code();
  lines.show(
    [
      ["crates/rank/src/jacobi.rs", "sweep"],
      ["crates/rank/src/jacobi.rs", "rotate"],
    ],
    "cargo run -p lowrank-rank --example rank-spectrum",
  );

  const given = (address.get("columns") ?? "").split(",").map(Number);
  const start = given.length === 4 && given.every((x) => Math.abs(x) <= SIDE) ? given : START;
  const sliders = NAMES.map((label, i) =>
    slider({ label, min: -3.5, max: 3.5, step: 0.1, place: start[i], show: (x) => x.toFixed(1), changed: ask }),
  );
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("ellipse", {}), show, fail);

  function ask() {
    const values = sliders.map(({ value }) => value);
    answer({ columns: [values.slice(0, 2), values.slice(2)] });
    for (const i of [0, 1]) {
      const [x, y] = values.slice(2 * i);
      to(arrows[i], [x, y]);
      handles[i].setAttribute("cx", x);
      handles[i].setAttribute("cy", y);
    }
    toAddress(ID, { columns: values });
  }

  function to(line, [x, y]) {
    line.setAttribute("x2", x);
    line.setAttribute("y2", y);
  }

  function show({ singular_values: [first, second], axes: half, ellipse: points, rank }) {
    ellipse.setAttribute("points", points.map((point) => point.join(",")).join(" "));
    half.forEach((axis, i) => {
      to(axes[i], axis);
    });
    status.textContent = `σ₁ = ${first.toFixed(3)}, σ₂ = ${second.toFixed(3)}: rank ${rank}. The dashed half axes are σ₁u₁ and σ₂u₂.`;
  }

  for (const [i, handle] of handles.entries()) {
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) {
        return;
      }
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(plane.getScreenCTM().inverse());
      [sliders[2 * i].place, sliders[2 * i + 1].place] = [x, y];
      ask();
    });
  }
  const controls = element("div", { className: "live-run" }, ...sliders.map(({ row }) => row), status);
  place.append(element("div", { className: "live-row" }, svg, controls), lines.details);
  ask();
});
