// Judges DIR/<id>.safetensors as ../README.md says: node tests/vectors/examples/runner.mjs DIR. Needs no package.
import { existsSync, readFileSync } from "node:fs";

const VECTORS = new URL("../", import.meta.url);
const { tiny, slack, growth, cases } = JSON.parse(readFileSync(new URL("judge.json", VECTORS), "utf8"));
const ARRAYS = { F64: Float64Array, F32: Float32Array, BF16: Uint16Array, F16: Uint16Array };
const DECODE = {
  BF16: (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0], // the upper half of a float
  F16: (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  },
};

// The metadata, and each tensor of these types with its shape and its type. Others are as good as missing.
function read(path) {
  const raw = readFileSync(path), start = 8 + Number(raw.readBigUInt64LE(0)), tensors = {};
  const { __metadata__, ...header } = JSON.parse(raw.toString("utf8", 8, start));
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    if (!(dtype in ARRAYS)) continue;
    const bytes = new Uint8Array(raw.subarray(start + from, start + to)); // a copy, so that it is aligned
    const numbers = new ARRAYS[dtype](bytes.buffer);
    tensors[name] = { shape: String(shape), dtype, data: DECODE[dtype] ? Array.from(numbers, DECODE[dtype]) : numbers };
  }
  return [__metadata__ ?? {}, tensors];
}

// What is wrong first, or undefined. A projected gradient X is right if X (s² A Aᵀ) = G holds well enough.
function wrong({ class: kind, draws = {}, outputs = {}, underflow, system }, tensors, metadata, got) {
  if ("error" in metadata || kind === "reject") return kind !== "reject" ? "refused" : "error" in metadata ? undefined : "should have been refused";
  const sum = (array, of) => array.reduce((total, x, i) => total + of(x, i), 0);
  for (const [name, ranges] of Object.entries(draws)) {
    const { data: p, dtype } = got[`out.${name}`] ?? { data: [NaN], dtype: "F64" };
    const sorted = Float64Array.from(p).sort(), means = [1, 2, 4].map((k) => sum(p, (x) => x ** k) / p.length);
    const outside = [sorted[0], sorted.at(-1), ...means].find((x, i) => !(ranges[dtype][i][0] <= x && x <= ranges[dtype][i][1]));
    if (!got[`out.${name}`]) return `out.${name}: missing, or its type is none of ${Object.keys(ARRAYS)}`;
    if (outside !== undefined) return `out.${name}: the range or a mean is ${outside}`;
  }
  for (const [name, terms] of Object.entries(outputs)) {
    const { data: want, shape } = tensors[`out.${name}`], { data: value, dtype, ...given } = got[`out.${name}`] ?? {};
    if (given.shape !== shape) return `out.${name}: missing, or not of shape ${shape}, or its type is none of ${Object.keys(ARRAYS)}`;
    const gauge = ([term, row], i) => growth[row][dtype] * tensors[`gauge.${name}.${term}`].data[i];
    const limit = (i) => tiny[underflow[0]][dtype] * underflow[1] + sum(Object.entries(terms), (term) => gauge(term, i));
    const solved = (i, r) => sum(system, (row, k) => value[i - (i % r) + k] * row[i % r]) - tensors["out.grad_lora_B"].data[i];
    const off = (i) => (name === "projected_grad_lora_B" ? solved(i, system.length) : value[i] - want[i]);
    const ok = (g, w, i) => g === w || (Number.isNaN(g) && Number.isNaN(w)) // Infinity <= Infinity holds, so finite ones here:
      || (Number.isFinite(off(i)) && Number.isFinite(w) && Math.abs(off(i)) <= limit(i))
      || (kind === "acceptable" && !Number.isFinite(limit(i)) && !Number.isFinite(g))
      || (kind === "acceptable" && Number.isNaN(limit(i)) && Math.abs(off(i)) <= slack[dtype] * Math.abs(w));
    const at = want.findIndex((w, i) => !ok(value[i], w, i));
    if (at >= 0) return `${name} at ${at}: got ${value[at]}, want ${want[at]}`;
  }
}

const asked = Object.keys(cases).map((id) => [id, `${process.argv[2]}/${id}.safetensors`]).filter(([, path]) => existsSync(path));
const judged = asked.map(([id, path]) => [id, wrong(cases[id], read(new URL(`${id}.safetensors`, VECTORS))[1], ...read(path))]);
const failed = judged.filter(([, why]) => why);
console.log([...failed.map(([id, why]) => `FAIL ${id} ${why}`), `${judged.length} cases judged, ${failed.length} failed`].join("\n"));
process.exitCode = failed.length ? 1 : judged.length ? 0 : 3; // exit() would cut off what is not yet written
