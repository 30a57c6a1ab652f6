// A small layer with LoRA: the gradient of A by hand, beside difference quotients.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";

const ID = "live-gradient";

startable(ID, (place, address) => {
  const given = (address.get("x") ?? "").split(",").map(Number);
  const start = given.length === 3 && given.every(Number.isFinite) ? given : [1, -1, 2];
  const inputs = start.map((place, i) =>
    slider({ label: `x${"₁₂₃"[i]}`, min: -3, max: 3, step: 0.5, place, show: (x) => x.toFixed(1), changed: ask }),
  );
  const at = (place) => 10 ** place;
  const show_h = (h) => h.toExponential(0);
  const h = slider({
    label: "h, the step of the quotient",
    min: -14,
    max: 0,
    place: address.get("h") ?? -5,
    at,
    show: show_h,
    changed: ask,
  });
  const table = element("table", { className: "live-table" });
  const status = element("p", { role: "status", className: "live-status" });
  const lines = code();
  lines.show(
    ["forward", "backward_frozen_a", "backward"].map((anchor) => ["crates/lora/src/cpu.rs", anchor]),
    "cargo test -p lowrank-lora",
  );
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("gradient", {}), show, fail);

  function ask() {
    const x = inputs.map(({ value }) => value);
    answer({ x, move_by: h.value });
    toAddress(ID, { x, h: Math.log10(h.value) });
  }

  function show({ h, y, loss, grad_a: gradient, quotients }) {
    const numbers = (values) => values.map((value) => value.toFixed(3)).join(", ");
    status.textContent = `xAᵀ = (${numbers(h)}), y = (${numbers(y)}), L = ${loss.toFixed(4)}.`;
    const cells = gradient.flatMap((row, i) =>
      row.map((value, j) => {
        const quotient = quotients[i][j];
        const texts = [
          `A${"₁₂"[i]}${"₁₂₃"[j]}`,
          value.toFixed(4),
          quotient.toFixed(4),
          Math.abs(value - quotient).toExponential(1),
        ];
        return element("tr", {}, ...texts.map((text) => element("td", {}, text)));
      }),
    );
    const heads = ["", "∂L/∂A by hand", "quotient", "apart"].map((text) => element("th", { scope: "col" }, text));
    table.replaceChildren(element("tr", {}, ...heads), ...cells);
  }

  place.append(...inputs.map(({ row }) => row), h.row, status, table, lines.details);
  ask();
});
