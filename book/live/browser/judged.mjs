// The judge's page, driven to a verdict: on what LoRA's forward pass gives here in JavaScript, right, without its scale, and damaged.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ID = "live-judge";
const NAME = "alpha-fraction-exact.safetensors";

/** A half's number from its bits: finite ones only, which a case has. */
function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** The inputs of a case: rows of numbers by name, and its parameters. */
function inputs(file) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(file.toString("utf8", 8, start));
  const rows = ({ shape: [count, width], data_offsets: [from] }) =>
    Array.from({ length: count }, (_, i) =>
      Array.from({ length: width }, (_, j) => half(file.readUInt16LE(start + from + 2 * (i * width + j)))),
    );
  const given = Object.entries(header).filter(([name]) => name.startsWith("in."));
  const tensors = Object.fromEntries(given.map(([name, one]) => [name.slice(3), rows(one)]));
  return { ...tensors, params: JSON.parse(__metadata__.case).params };
}

/** y = x Wᵀ + s x Aᵀ Bᵀ, as a file in f32. */
function answer({ x, weight, lora_A, lora_B, params: { alpha } }, scaled) {
  const times = (rows, matrix) =>
    rows.map((row) => matrix.map((column) => column.reduce((sum, value, k) => sum + value * row[k], 0)));
  const scale = scaled ? alpha / lora_A.length : 1;
  const low = times(times(x, lora_A), lora_B);
  const y = times(x, weight).map((row, i) => row.map((value, j) => value + scale * low[i][j]));
  const data = Buffer.from(Float32Array.from(y.flat()).buffer);
  const tensor = { dtype: "F32", shape: [y.length, y[0].length], data_offsets: [0, data.length] };
  const header = Buffer.from(JSON.stringify({ "out.y": tensor }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, data]);
}

/** `vectors` is the folder tests/vectors. */
export async function judged({ open, press, status }, vectors) {
  const { page, note } = await open("judge.html", 390);
  const folder = await mkdtemp(join(tmpdir(), "answers-"));
  const path = join(vectors, "lora/forward", NAME);
  const given = inputs(await readFile(path));
  const right = answer(given, true);
  const lying = Buffer.from(right);
  lying.writeBigUInt64LE(2n ** 63n);
  try {
    await page.waitForSelector(`#${ID} button`);
    await press(page, ID, "Start");
    const [cases, answers] = await page.$$(`#${ID} input[type=file]`);
    const choose = async (input, path) => {
      const [chooser] = await Promise.all([page.waitForFileChooser(), input.click()]);
      await chooser.accept([path]);
    };
    await choose(cases, path);
    for (const [file, verdict, report] of [
      [right, /^1 PASS/, /alpha-fraction-exact/],
      [answer(given, false), /^1 FAIL/, /s not applied/],
      [lying, /^1 UNREADABLE/, /alpha-fraction-exact.*the answer/],
      [right, /^1 PASS/, /alpha-fraction-exact/],
    ]) {
      const own = join(folder, NAME);
      await writeFile(own, file);
      await choose(answers, own);
      await status(page, ID, "", verdict);
      const said = await page.$eval(`#${ID} pre`, (element) => element.textContent);
      report.test(said) || note(`${ID}: says ${JSON.stringify(said)}, and ${report} was expected`);
    }
  } catch ({ message }) {
    note(`${ID}: ${message}`);
  }
  await rm(folder, { recursive: true });
  await page.close();
}
