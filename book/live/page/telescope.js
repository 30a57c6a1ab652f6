// Delta-LoRA beside the LoRA that takes the same path.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";
import { plot } from "./plot.js";

const ID = "live-telescope";
const DECADES = ["0.0001", "0.01", "1", "100"].map((text) => [Number(text), text]);
const LOSSES = [0, 50, 100, 150].map((value) => [value, String(value)]);

startable(ID, (place, address) => {
  const rank = slider({ label: "rank r", min: 1, max: 6, place: address.get("r") ?? 2, changed: ask });
  const lambda = slider({ label: "λ", min: 0, max: 6, step: 0.5, place: address.get("lambda") ?? 2, changed: ask });
  const start = slider({ label: "K", min: 0, max: 200, step: 10, place: address.get("K") ?? 0, changed: ask });
  const status = element("p", { role: "status", className: "live-status" });
  const loss = plot({ title: "loss; dashed: LoRA, (1 + λ)s", x: 200, y: LOSSES, xLabel: "update" });
  const values = plot({ title: "singular values of W − W₀", x: 12, y: DECADES, log: true, xLabel: "k" });
  const lines = code();
  lines.show(
    [["crates/delta-lora/src/cpu.rs", "step"]],
    "cargo run -p lowrank-delta-lora --example delta-lora-spectrum",
  );
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("telescope", {}), show, fail);

  function ask() {
    const [r, K] = [rank.value, start.value];
    answer({ rank: r, lambda: lambda.value, start_step: K });
    toAddress(ID, { r, lambda: lambda.value, K });
  }

  function show({ delta_lora: delta, lora, singular_values: sigma }, { rank: r }) {
    const points = (losses) => losses.map((loss, update) => [update, loss]);
    loss.line("delta", points(delta), "live-delta-lora");
    loss.line("lora", points(lora), "live-lora live-b");
    const at = sigma.map((value, i) => [i + 1, value]);
    values.line("all", at, "live-delta-lora");
    const apart = Math.max(...delta.map((loss, i) => Math.abs(loss - lora[i]) / loss));
    const there = sigma.filter((value) => value > 1e-10 * sigma[0]).length;
    status.textContent =
      `After 200 updates W has moved by a matrix of rank ${there}, and 2r is ${2 * r}. ` +
      `The two losses are never further apart than ${apart.toExponential(1)} of themselves.`;
  }

  place.append(rank.row, lambda.row, start.row, status);
  place.append(element("div", { className: "live-row" }, loss.svg, values.svg), lines.details);
  ask();
});
