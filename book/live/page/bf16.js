// How much of ΔW a merge loses as it gets smaller, and what LoRA and LoRA-FA keep.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { choice, element, slider, startable, toAddress } from "./figure.js";
import { plot } from "./plot.js";

const MODEL = new URL("tiny.safetensors", import.meta.url).href;

startable("live-bf16", (place, address) => {
  const dtype = choice({
    label: "stored as",
    options: ["bf16", "f16", "f32"].map((name) => [name, name]),
    value: address.get("dtype") ?? "bf16",
    changed: ask,
  });
  const size = slider({
    label: "size of ΔW beside W",
    min: -16,
    max: 0,
    place: address.get("size") ?? -8,
    show: (x) => `2^${x}`,
    changed: ask,
  });
  const status = element("p", { role: "status", className: "live-status" });
  const ticks = [0, 0.5, 1].map((part) => [part, `${100 * part}%`]);
  const parts = plot({ title: "numbers of W that do not move", x: 16, y: ticks, xLabel: "size of ΔW, 2^−16 … 1" });
  const lines = code();
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("bf16", {}, MODEL), show, fail);

  function ask() {
    answer({ merge: { dtype: dtype.select.value } });
    toAddress("live-bf16", { dtype: dtype.select.value, size: size.value });
  }

  function show({ sizes, lost, unchanged }, { merge }) {
    const all = unchanged.map((part, i) => [i, part]);
    const here = size.value + 16;
    parts.line("unchanged", all, "live-lora");
    parts.line(
      "here",
      [
        [here, 0],
        [here, unchanged[here]],
      ],
      "live-b",
    );
    status.textContent =
      `At ‖ΔW‖ = ${sizes[here].toPrecision(2)} ‖W‖, rounding to ${merge.dtype} leaves ${(100 * unchanged[here]).toFixed(1)}% of the numbers ` +
      `where they were, and is off by ${(100 * lost[here]).toPrecision(3)}% of ΔW.`;
  }

  place.append(size.row, dtype.row, status, element("div", { className: "live-row" }, parts.svg), lines.details);
  lines.show([["crates/lora/src/cpu.rs", "delta"]], "cargo run --release -p lowrank-cli -- inspect ADAPTER");
  ask();
});
