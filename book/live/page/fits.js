// What fits: the memory of a run on a model of any shape, by what it is for.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { choice, element, slider, startable, toAddress } from "./figure.js";
import { TARGETS } from "./run.js";

const ID = "live-fits";
const BITS = [
  ["32", "all in f32, as here"],
  ["16", "16 bits"],
  ["8", "8 bits"],
  ["4", "4 bits"],
];
/** What a model's shape is, by the names of config.json, with the slider of each. */
const SIZES = [
  ["num_hidden_layers", "layers", { min: 1, max: 128 }],
  ["hidden_size", "width", { min: 64, max: 16384, step: 64 }],
  ["intermediate_size", "width in the MLP", { min: 64, max: 65536, step: 64 }],
  ["num_attention_heads", "heads", { min: 1, max: 128 }],
  ["num_key_value_heads", "heads of keys", { min: 1, max: 128 }],
  ["head_dim", "width of a head", { min: 16, max: 256, step: 16 }],
  ["vocab_size", "vocabulary", { min: 128, max: 262144, step: 128 }],
];
const POWER = (place) => 2 ** place;

/** A number of bytes, read easily. */
function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(4, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${(count / 1024 ** unit).toLocaleString("en", { maximumFractionDigits: unit && 1 })} ${units[unit]}`;
}

startable(ID, async (place, address) => {
  const status = element("p", { role: "status", className: "live-status" });
  const bars = element("div");
  place.append(status);
  const fail = (message) => {
    status.textContent = `${message}.`;
    // Those of another run.
    bars.replaceChildren();
  };
  const run = new Run("fits", {});
  let [models, methods] = [];
  try {
    methods = await (await fetch(new URL("methods.json", import.meta.url))).json();
    await run.ready;
    models = new Map(await run.ask("models"));
  } catch ({ message }) {
    fail(message);
    return;
  }
  const answer = asker(run, show, fail);
  const power = (label, name, most, otherwise) =>
    slider({ label, min: 0, max: most, place: Math.log2(address.get(name) ?? otherwise), at: POWER, changed: ask });
  const names = [...models.keys()];
  const pick = (label, options, value) =>
    choice({ label, options: options.map((one) => (Array.isArray(one) ? one : [one, one])), value, changed: ask });
  const model = choice({
    label: "model",
    options: [...names, "your own"].map((name) => [name, name]),
    value: address.get("model") ?? "Llama-3-8B",
    changed: take,
  });
  const labels = methods.map(({ name, label }) => [name, label]);
  const method = pick("method", labels, address.get("method") ?? "lora");
  const targets = pick("adapted", TARGETS, address.get("targets") ?? "all-linear");
  const bits = pick("base", BITS, address.get("bits") ?? "16");
  const rank = power("rank r", "r", 10, 8);
  const batch = power("sequences", "batch", 8, 1);
  const tokens = power("tokens in each", "tokens", 17, 512);
  const first = models.get(model.select.value) ?? models.get(names[0]);
  const sizes = SIZES.map(([name, label, of]) =>
    slider({ label, ...of, place: Number(address.get(name) ?? first[name]), changed: own }),
  );
  const tied = element("input", {
    type: "checkbox",
    checked: (address.get("tied") ?? String(first.tie_word_embeddings)) === "true",
  });
  tied.addEventListener("change", own);
  const lines = code();

  /** The sliders of the shape go to the model that was chosen. */
  function take() {
    const chosen = models.get(model.select.value);
    if (chosen) {
      SIZES.forEach(([name], i) => {
        sizes[i].place = chosen[name];
      });
      tied.checked = chosen.tie_word_embeddings;
    }
    ask();
  }

  function own() {
    model.select.value = "your own";
    ask();
  }

  function ask() {
    const shape = Object.fromEntries(SIZES.map(([name], i) => [name, sizes[i].value]));
    const told = {
      method: method.select.value,
      targets: targets.select.value,
      batch: batch.value,
      tokens: tokens.value,
    };
    const base = bits.select.value;
    answer({
      run: { sizes: { ...shape, tie_word_embeddings: tied.checked }, rank: rank.value, bits: Number(base), ...told },
    });
    const name = model.select.value;
    toAddress(ID, {
      model: name,
      r: rank.value,
      bits: base,
      ...told,
      ...(models.has(name) ? {} : { ...shape, tied: tied.checked }),
    });
  }

  function show({ parameters, trained, bytes: kinds, total, card }) {
    const largest = Math.max(...kinds.map(([, count]) => count));
    const drawn = kinds.flatMap(([name, count]) => {
      const bar = element("div", { className: "live-bar live-lora" });
      bar.style.width = `${(100 * count) / largest}%`;
      return [element("span", {}, `${name}: ${bytes(count)}`), bar];
    });
    bars.replaceChildren(...drawn);
    const [of, all] = [trained, parameters].map((count) => count.toLocaleString("en"));
    const numbers =
      trained === parameters
        ? `All ${all} numbers are trained`
        : `${of} numbers are trained, beside ${all} of the model`;
    const where = card
      ? `The smallest common GPU that has so much memory has ${card} GiB`
      : "No common GPU has so much memory";
    status.textContent = `${numbers}. The run holds ${bytes(total)}. ${where}.`;
  }

  const shape = element("details", {}, element("summary", {}, "The model’s shape"), ...sizes.map(({ row }) => row));
  shape.append(element("label", { className: "live-check" }, tied, " the output matrix is the embedding"));
  place.prepend(...[model, method, targets, bits, rank, batch, tokens].map(({ row }) => row), shape);
  place.append(bars, lines.details);
  lines.show(
    [["crates/finetune/src/budget.rs", "count"]],
    "cargo run --release -p lowrank-cli -- finetune --model MODEL --data TEXT",
  );
  ask();
});
