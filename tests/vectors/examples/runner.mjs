// Judges DIR/<id>.safetensors as `lowrank check --submission DIR` does. Needs Node and no package; ../README.md has the rules.
//
//     node tests/vectors/examples/runner.mjs DIR

import { existsSync, readFileSync } from "node:fs";

const VECTORS = new URL("../", import.meta.url);
const json = (name) => JSON.parse(readFileSync(new URL(name, VECTORS), "utf8"));
const BOUNDS = json("bounds.json");
const PROFILES = { F64: "f64", F32: "f32", BF16: "bf16", F16: "fp16" };
const ARRAYS = { F64: Float64Array, F32: Float32Array, BF16: Uint16Array, F16: Uint16Array, U8: Uint8Array };
const tail = (name) => name.slice(name.indexOf(".") + 1);

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
const brain = (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0];

// The metadata, and the tensors with the profile of each one's type.
function read(path) {
  const raw = readFileSync(path), start = 8 + Number(raw.readBigUInt64LE(0)), tensors = {};
  const { __metadata__, ...header } = JSON.parse(raw.toString("utf8", 8, start));
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    const bytes = new Uint8Array(raw.subarray(start + from, start + to)); // a copy, so that it is aligned
    const numbers = new ARRAYS[dtype](bytes.buffer), decode = { F16: half, BF16: brain }[dtype];
    tensors[name] = { shape, data: decode ? Array.from(numbers, decode) : numbers, profile: PROFILES[dtype] };
  }
  return [__metadata__ ?? {}, tensors];
}

// How far each entry of `name` may be off.
function bound(c, name, t, profile) {
  const units = BOUNDS.profiles[profile], vera = c.method === "vera", adam = c.params.optimizer ?? {};
  const plain = c.op === "trajectory" ? name.replace(/\.\d+$/, "") : name;
  const x = t["in.x"] ?? t["in.x.0"] ?? { shape: [0, 0] };
  const [out, r] = vera ? [t["in.vera_lambda_b"].shape[0], t["in.vera_lambda_d"].shape[0]] : t["in.lora_B"].shape;
  const update = (c.params.start ?? 0) + 1 + (c.op === "trajectory" ? Number(name.match(/\d+$/)[0]) : 0);
  const [[beta1, bias1], [beta2, bias2]] = (adam.betas ?? [0.9, 0.999]).map((beta, i) =>
    [1 / (1 - beta), ((2 * update + 1) * beta ** update) / (1 - beta ** update)].map((k) => k * (1 - i / 2)));
  const rate = c.method === "lora-plus" && plain === "lora_B" ? 3 : 1;
  const sizes = { one: 1, tokens: x.shape[0], in: x.shape[1] || (t["in.lora_A"]?.shape[1] ?? 0), out, r, rate, beta1, beta2, bias1, bias2,
    dropout: c.params.dropout_p > 0 ? 1 : 0, bias: t["in.bias"] ? 1 : 0 };
  const exponent = (row) => Object.entries(row).flatMap(([u, counts]) =>
    Object.entries(counts).map(([s, k]) => k * sizes[s] * Math.log1p(units[u]))).reduce((a, b) => a + b, 0);
  const growth = (...rows) => Math.expm1(rows.reduce((total, row) => total + exponent(row), 0));

  const table = c.method === "dora" ? BOUNDS.dora : vera ? { ...BOUNDS.layer, ...BOUNDS.vera } : BOUNDS.layer;
  let terms = Object.entries(table)
    .filter(([term]) => term.split(".")[0] === plain && t[`gauge.${name}.${tail(term)}`]).map(([term, row]) => [tail(term), growth(row)]);
  if (["step", "trajectory"].includes(c.op) && plain !== "y" && !plain.startsWith("grad_")) {
    const kind = plain === "weight" ? plain : plain.match(/^(exp_avg_sq|exp_avg)\./)?.[1] ?? "p";
    const carried = ["trajectory", "projected"].filter((key) => c.op === key || c.params.variant === key)
      .map((key) => (c.method === "dora" ? `${key}_dora` : key));
    const rows = carried.flatMap((key) => Array(BOUNDS.carried.times[kind]).fill(BOUNDS.carried[key]));
    terms = [["all", growth(BOUNDS.update[adam.name + (adam.variant === "hf" ? "_hf" : "")][kind], ...rows)]];
  }
  const sides = Object.entries(t).filter(([n]) => n.startsWith("in.")).flatMap(([, { shape }]) => shape);
  const floor = units[c.flags.includes("FTZ") ? "smallest_normal" : "smallest_subnormal"] * sides.reduce((a, b) => a + b, 0);
  return (i) => terms.reduce((total, [term, k]) => total + k * t[`gauge.${name}.${term}`].data[i], floor);
}

// |X s^2 (A A^T) - G|: how well the projected gradient solves its equation.
function residual(c, X, t) {
  const { shape: [r, n], data: A } = t["in.lora_A"], alpha = c.params.alpha ?? 8;
  const square = alpha ** 2 / (c.params.scaling === "rslora" ? r : r * r);
  const sum = (count, term) => { let total = 0; for (let i = 0; i < count; i++) total += term(i); return total; };
  const gram = (k, j) => square * sum(n, (i) => A[k * n + i] * A[j * n + i]);
  return (at) => Math.abs(sum(r, (k) => X[at - (at % r) + k] * gram(k, at % r)) - t["out.grad_lora_B"].data[at]);
}

// null, or the first thing that is wrong.
function judge(c, t, metadata, got) {
  if (c.class === "reject") return "error" in metadata ? null : "should have been refused";
  for (const full of Object.keys(t).filter((n) => n.startsWith("out.")).sort()) {
    const name = tail(full), draws = c.class === "stat" && got[full.slice(0, full.lastIndexOf("."))];
    let { data: want, shape } = t[full], value = got[full]?.data, limit;
    if (draws) {
      const slack = 16 * BOUNDS.profiles[draws.profile].u_s, edge = want, d = draws.data;
      const mean = (k) => d.reduce((total, v) => total + v ** k, 0) / d.length;
      const ends = () => d.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
      value = name.endsWith(".support") ? ends() : [1, 2, 4].map(mean);
      want = name.endsWith(".support") ? value.map((v) => Math.min(Math.max(v, edge[0]), edge[1])) : edge;
      const error = t[`gauge.${name}`]?.data ?? [0, 0];
      limit = (i) => 6 * error[i] + slack * (Number.isFinite(edge[i]) ? Math.abs(edge[i]) : 0);
    } else {
      if (!value || String(got[full].shape) !== String(shape)) return `${name}: missing, or not of shape ${shape}`;
      const [own, reference] = [got[full].profile, "f64"].map((profile) => bound(c, name, t, profile));
      limit = (i) => own(i) + reference(i);
    }
    const error = name === "projected_grad_lora_B" ? residual(c, value, t) : (i) => Math.abs(value[i] - want[i]);
    for (let i = 0; i < want.length; i++) {
      const [w, g] = [want[i], value[i]], finite = Number.isFinite(w) && Number.isFinite(g);
      // Without finite a finite number would pass for an infinite one: inf <= inf.
      let ok = (finite && error(i) <= limit(i)) || g === w || (Number.isNaN(g) && Number.isNaN(w));
      if (c.class === "exact") ok = g === w;
      if (c.class === "acceptable") {
        ok ||= !Number.isFinite(limit(i)) && !Number.isFinite(g);
        ok ||= Number.isNaN(limit(i)) && error(i) <= 16 * BOUNDS.profiles[got[full].profile].u_s * Math.abs(w);
      }
      if (!ok) return `${name} at ${i}: got ${g}, want ${w}`;
    }
  }
  return null;
}

let [count, failed] = [0, 0];
for (const { id } of json("index.json").cases) {
  const answer = `${process.argv[2]}/${id}.safetensors`;
  if (!existsSync(answer)) continue;
  const [{ case: text }, tensors] = read(new URL(`${id}.safetensors`, VECTORS));
  const wrong = judge(JSON.parse(text), tensors, ...read(answer));
  count += 1;
  if (wrong) console.log(`FAIL ${id} ${wrong}`);
  if (wrong) failed += 1;
}
console.log(`${count} cases judged, ${failed} failed`);
process.exit(failed ? 1 : count ? 0 : 3);
