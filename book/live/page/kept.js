// The bytes that one adapted layer keeps for its backward pass: LoRA's and LoRA-FA's.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";

const ID = "live-kept";
const MODEL = new URL("tiny.safetensors", import.meta.url).href;
/** As a power of 2. */
const MOST_RANK = 8;
const power = (place) => 2 ** place;

startable(ID, (place, address) => {
  const at = { at: power, changed: ask };
  const tokens = slider({ label: "tokens", min: 0, max: 11, place: Math.log2(address.get("tokens") ?? 512), ...at });
  const inputs = slider({
    label: "width of x",
    min: 3,
    max: 11,
    place: Math.log2(address.get("inputs") ?? 512),
    ...at,
  });
  const rank = slider({ label: "rank r", min: 0, max: MOST_RANK, place: Math.log2(address.get("r") ?? 8), ...at });
  const bars = [
    ["LoRA", "live-lora"],
    ["LoRA-FA", "live-lora-fa"],
  ].map(([name, classes]) => ({
    name,
    bar: element("div", { className: `live-bar ${classes}` }),
    text: element("span"),
  }));
  const status = element("p", { role: "status", className: "live-status" });
  const lines = code();
  lines.show(
    [
      ["crates/lora/src/cpu.rs", "forward"],
      ["crates/lora-fa/src/cpu.rs", "forward"],
    ],
    "cargo run -p lowrank-lora-fa --example activations",
  );
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  const answer = asker(new Run("bf16", {}, MODEL), show, fail);

  function ask() {
    // A rank above the width of x is refused.
    rank.most = Math.min(MOST_RANK, Math.log2(inputs.value));
    answer({ kept: { tokens: tokens.value, inputs: inputs.value, rank: rank.value } });
    toAddress(ID, { tokens: tokens.value, inputs: inputs.value, r: rank.value });
  }

  function show({ lora, lora_fa: fa }) {
    for (const [i, bytes] of [lora, fa].entries()) {
      bars[i].bar.style.width = `${(100 * bytes) / lora}%`;
      bars[i].text.textContent = ` ${bars[i].name}: ${bytes.toLocaleString("en")} bytes`;
    }
    status.textContent = `In f32, LoRA-FA keeps ${((100 * fa) / lora).toFixed(1)}% of what LoRA keeps.`;
  }

  const drawn = bars.flatMap(({ bar, text }) => [text, bar]);
  place.append(tokens.row, inputs.row, rank.row, status, ...drawn, lines.details);
  ask();
});
