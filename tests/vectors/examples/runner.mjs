// Reads every case, judges a right and a wrong submission of it at the profile f32. Needs Node and no package.
//
//     node tests/vectors/examples/runner.mjs
//
// To judge your own code, replace `right` by a call of it: in.* go in, out.* come out. ../README.md has the rules.

import { readFileSync } from "node:fs";

const VECTORS = new URL("../", import.meta.url);
const json = (name) => JSON.parse(readFileSync(new URL(name, VECTORS), "utf8"));
const BOUNDS = json("bounds.json");
const [U_A, U_S, SUBNORMAL, SMALLEST_NORMAL] = [2 ** -24, 2 ** -24, 2 ** -149, 2 ** -126]; // f32
const ARRAYS = { F32: Float32Array, F64: Float64Array, U8: Uint8Array };
const same = (a, b) => a === b || (Number.isNaN(a) && Number.isNaN(b));

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

function read(id) {
  const raw = readFileSync(new URL(`${id}.safetensors`, VECTORS));
  const start = 8 + Number(raw.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(raw.toString("utf8", 8, start));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    const bytes = new Uint8Array(raw.subarray(start + from, start + to)); // a copy, so that it is aligned
    const data = dtype === "F16" ? Array.from(new Uint16Array(bytes.buffer), half) : Array.from(new ARRAYS[dtype](bytes.buffer));
    tensors[name] = { shape, data };
  }
  return [JSON.parse(__metadata__.case), tensors];
}

// How far each entry of `name` may be off.
function bound(c, name, tensors) {
  const x = tensors["in.x"] ?? tensors["in.x.0"] ?? { shape: [0, 0] };
  const [out, r] = c.method === "vera"
    ? [tensors["in.vera_lambda_b"].shape[0], tensors["in.vera_lambda_d"].shape[0]] : tensors["in.lora_B"].shape;
  const optimizer = c.params.optimizer ?? {};
  const [beta1, beta2] = optimizer.betas ?? [0.9, 0.999];
  const sizes = { one: 1, tokens: x.shape[0], in: x.shape[1] || (tensors["in.lora_A"]?.shape[1] ?? 0), out, r,
    dropout: c.params.dropout_p > 0 ? 1 : 0, beta1: 1 / (1 - beta1), beta2: 1 / (1 - beta2) };
  const sum = (part, unit) => Object.entries(part ?? {}).reduce((total, [s, k]) => total + unit * k * sizes[s], 0);
  const units = (row) => sum(row.u_a, U_A) + sum(row.u_s, U_S);

  const plain = c.op === "trajectory" ? name.replace(/\.\d+$/, "") : name;
  let terms = Object.entries(BOUNDS.layer).filter(([t]) => t.split(".")[0] === plain).map(([t, row]) => [t.split(".")[1], units(row)]);
  if (["step", "trajectory"].includes(c.op) && plain !== "y" && !plain.startsWith("grad_")) {
    const kind = plain === "weight" ? plain : plain.match(/^(exp_avg_sq|exp_avg)\./)?.[1] ?? "p";
    const carried = ["trajectory", "projected"].filter((k) => c.op === k || c.params.variant === k);
    const times = BOUNDS.carried.times[kind];
    terms = [["all", carried.reduce((t, k) => t + times * units(BOUNDS.carried[k]), units(BOUNDS.update[optimizer.name][kind]))]];
  }
  const inputs = Object.entries(tensors).filter(([n]) => n.startsWith("in."));
  const operations = inputs.reduce((total, [, t]) => total + t.shape.reduce((a, b) => a + b, 0), 0);
  const floor = operations * (c.flags.includes("FTZ") ? SMALLEST_NORMAL : SUBNORMAL);
  return tensors[`out.${name}`].data.map((_, i) => terms.reduce((t, [term, k]) => t + k * tensors[`gauge.${name}.${term}`].data[i], floor));
}

// |X s^2 (A A^T) - G|: how well the projected gradient solves its equation.
function residual(c, X, tensors) {
  const { shape: [r, n], data: A } = tensors["in.lora_A"];
  const square = (c.params.alpha ?? 8) ** 2 / (c.params.scaling === "rslora" ? r : r * r);
  const gram = (k, j) => { let t = 0; for (let i = 0; i < n; i++) t += A[k * n + i] * A[j * n + i]; return square * t; };
  return tensors["out.grad_lora_B"].data.map((g, at) => {
    let t = 0;
    for (let k = 0; k < r; k++) t += X[Math.floor(at / r) * r + k] * gram(k, at % r);
    return Math.abs(t - g);
  });
}

// null, or the first thing that is wrong.
function judge(c, tensors, submission) {
  if (c.class === "reject") return submission === "error" ? null : "should have been refused";
  if (c.class === "stat") return judgeStatistics(tensors, submission);
  for (const name of Object.keys(tensors).filter((n) => n.startsWith("out.")).map((n) => n.slice(4)).sort()) {
    const want = tensors[`out.${name}`], got = submission[`out.${name}`];
    if (!got || String(got.shape) !== String(want.shape)) return `${name}: missing, or not of shape ${want.shape}`;
    const limit = bound(c, name, tensors);
    const error = name === "projected_grad_lora_B" ? residual(c, got.data, tensors) : want.data.map((w, i) => Math.abs(got.data[i] - w));
    for (let i = 0; i < want.data.length; i++) {
      const [w, g] = [want.data[i], got.data[i]];
      // Without isFinite a finite number would pass for an infinite one: inf <= inf.
      let ok = (Number.isFinite(w) && Number.isFinite(limit[i]) && error[i] <= limit[i]) || same(g, w);
      if (c.class === "exact") ok = g === w;
      if (c.class === "acceptable") ok ||= !Number.isFinite(limit[i]) && !Number.isFinite(g);
      if (!ok) return `${name} at ${i}: got ${g}, want ${w}`;
    }
  }
  return null;
}

function judgeStatistics(tensors, submission) {
  for (const name of Object.keys(tensors).filter((n) => n.endsWith(".support")).map((n) => n.slice(4, -8))) {
    const draws = submission[`out.${name}`].data, [low, high] = tensors[`out.${name}.support`].data, slack = 16 * U_S;
    if (!draws.every((v) => v >= low - slack * Math.abs(low) && v <= high + slack * Math.abs(high))) return `${name}: outside [${low}, ${high}]`;
    for (const [i, k] of [1, 2, 4].entries()) {
      const got = draws.reduce((t, v) => t + v ** k, 0) / draws.length;
      const [want, error] = [tensors[`out.${name}.moments`].data[i], tensors[`gauge.${name}.moments`].data[i]];
      if (!(Math.abs(got - want) <= 6 * error + slack * Math.abs(want))) return `${name}: moment ${k} is ${got}, want ${want}`;
    }
  }
  return null;
}

// What honest f32 code could give: the expected values in f32; draws; an error.
function right(c, tensors) {
  if (c.class === "reject") return "error";
  const result = {};
  if (c.class !== "stat") {
    for (const [n, t] of Object.entries(tensors)) if (n.startsWith("out.")) result[n] = { shape: t.shape, data: t.data.map(Math.fround) };
    return result;
  }
  let state = c.source.seed; // mulberry32
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const { rank, in: n, out: m, samples } = c.params;
  const counts = { lora_A: rank * n, lora_B: m * rank, vera_A: rank * n, vera_B: m * rank, vera_lambda_d: rank, vera_lambda_b: m };
  for (const name of Object.keys(tensors).filter((k) => k.endsWith(".support")).map((k) => k.slice(4, -8))) {
    const [low, high] = tensors[`out.${name}.support`].data, sigma = Math.sqrt(tensors[`out.${name}.moments`].data[1]);
    const normal = () => sigma * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const draw = Number.isFinite(low) ? () => low + (high - low) * uniform() : normal;
    result[`out.${name}`] = { data: Array.from({ length: samples * counts[name] }, draw) };
  }
  return result;
}

// The same with a mistake: no error; a tenth too large; one entry off, or a shape.
function wrong(c, tensors) {
  if (c.class === "reject") return {};
  const good = right(c, tensors);
  if (c.class === "stat") {
    for (const t of Object.values(good)) t.data = t.data.map((v) => v * 1.1);
    return good;
  }
  const name = Object.keys(good).sort().find((n) => good[n].data.length > 0);
  if (name === undefined) return {};
  good[name].data[0] = Number.isFinite(good[name].data[0]) ? 2 * good[name].data[0] + 1000 : 1000;
  return good;
}

const index = json("index.json").cases;
let mistakes = 0;
for (const { id } of index) {
  const [c, tensors] = read(id);
  const verdict = judge(c, tensors, right(c, tensors));
  if (verdict || !judge(c, tensors, wrong(c, tensors))) {
    console.log(id, verdict ?? "the wrong submission passed");
    mistakes += 1;
  }
}
console.log(`${index.length} cases judged, ${mistakes} verdicts wrong`);
process.exit(mistakes ? 1 : index.length ? 0 : 3);
