// Judges DIR/<id>.safetensors on the cases of class `exact`: equal or wrong. A place to start from; needs Node alone.
//
//     node tests/vectors/examples/exact.mjs DIR

import { existsSync, readFileSync } from "node:fs";

const VECTORS = new URL("../", import.meta.url);
const ARRAYS = { F64: Float64Array, F32: Float32Array, BF16: Uint16Array, F16: Uint16Array };
const DECODE = {
  BF16: (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0], // the upper half of a float
  F16: (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  },
};

// Tensors of these types by name; none where an error says that the case was refused.
function read(path) {
  const raw = readFileSync(path), start = 8 + Number(raw.readBigUInt64LE(0)), tensors = {};
  const { __metadata__, ...header } = JSON.parse(raw.toString("utf8", 8, start));
  if (__metadata__?.error !== undefined) return tensors;
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    if (!(dtype in ARRAYS)) continue;
    const bytes = new Uint8Array(raw.subarray(start + from, start + to)); // a copy, so that it is aligned
    const numbers = new ARRAYS[dtype](bytes.buffer);
    tensors[name] = { shape: String(shape), data: DECODE[dtype] ? Array.from(numbers, DECODE[dtype]) : numbers };
  }
  return tensors;
}

let judged = 0, failed = 0;
for (const { id, class: kind } of JSON.parse(readFileSync(new URL("index.json", VECTORS))).cases) {
  const answer = `${process.argv[2]}/${id}.safetensors`;
  if (kind !== "exact" || !existsSync(answer)) continue;
  const want = read(new URL(`${id}.safetensors`, VECTORS)), got = read(answer);
  const equal = (n) => got[n]?.shape === want[n].shape && want[n].data.every((x, i) => x === got[n].data[i]);
  const wrong = Object.keys(want).find((n) => n.startsWith("out.") && !equal(n));
  judged++;
  if (wrong) failed++, console.log(`FAIL ${id} ${wrong}`);
}
console.log(`${judged} cases judged, ${failed} failed`);
process.exitCode = failed ? 1 : judged ? 0 : 3; // exit() would cut off what is not yet written
