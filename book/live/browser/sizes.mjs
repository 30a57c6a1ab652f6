// What a reader loads, compressed.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const MOST = 600e3;

/** Says what each file takes; returns a sentence for each that takes too much. The model is no module. */
export async function tooLarge(html) {
  const folder = join(html, "live");
  const problems = [];
  for (const name of (await readdir(folder, { recursive: true })).filter((name) => /\.(js|wasm)$/.test(name))) {
    const bytes = gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
    if (name.endsWith(".wasm")) {
      console.log(`${name}: ${bytes} bytes compressed`);
    }
    if (bytes > MOST) {
      problems.push(`live/${name} takes ${bytes} bytes compressed, at most ${MOST} are meant`);
    }
  }
  return problems;
}
