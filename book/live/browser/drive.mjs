// Drives the built pages in a headless browser: node drive.mjs HTML NATIVE BROWSER VECTORS. HTML is the built folder, NATIVE
// what book/live/src/bin/answers.rs printed, VECTORS the folder tests/vectors. Says what is wrong and fails, or says what was
// measured.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import axe from "axe-core";
import puppeteer from "puppeteer-core";
import { badInput } from "./bad.mjs";
import { compare } from "./compare.mjs";
import { listen } from "./complaints.mjs";
import { controls } from "./controls.mjs";
import { FIGURES } from "./figures.mjs";
import { judged } from "./judged.mjs";
import { serve } from "./serve.mjs";
import { tooLarge } from "./sizes.mjs";
import { drag, slide, tap } from "./touch.mjs";
import { train } from "./training.mjs";

/** Milliseconds: a busy machine is slow. */
const PATIENCE = 30_000;

const [html, native, executablePath, vectors] = process.argv.slice(2);
const problems = await tooLarge(html);
problems.forEach((problem) => void console.log(problem));
const server = await serve(html);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

/** A page that notes each error of its own and each request that fails or leaves the book. */
async function open(path, width) {
  const page = await browser.newPage();
  await page.setCacheEnabled(false);
  await page.setViewport({ width, height: 900, hasTouch: width < 500 });
  const note = (what) => {
    console.log(`${path} at ${width}: ${what}`);
    problems.push(what);
  };
  listen(page, server, note);
  await page.goto(`${server.address}/${path}`);
  return { page, note };
}

/** The text of a figure's status, once it is other than `before` and `ready` is content. */
async function status(page, id, before, ready) {
  const text = () => page.$eval(`#${id} [role=status]`, (element) => element.textContent).catch(() => "");
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const now = await text();
    if (now && now !== before && ready.test(now)) {
      return now;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`its status stays at ${JSON.stringify(await text())}`);
}

async function press(page, id, name) {
  await page.evaluate(
    (id, name) => {
      [...document.querySelectorAll(`#${id} button`)].find((button) => button.textContent === name).click();
    },
    id,
    name,
  );
}

/** On a wide screen by the keyboard, on a narrow one by touch. */
async function drive({ path, id, ready, moved }, width) {
  const { page, note } = await open(path, width);
  const touch = width < 500;
  try {
    await page.waitForSelector(`#${id} button`);
    const began = performance.now();
    await (touch ? tap : press)(page, id, "Start");
    const first = await status(page, id, "", ready);
    console.log(`${id} at ${width}: ${((performance.now() - began) / 1000).toFixed(1)} s to the first answer`);
    if (touch && (await page.$(`#${id} input[type=range]`))) {
      await slide(page, id);
      moved && (await status(page, id, first, /./));
    } else if (moved) {
      await page.focus(`#${id} input[type=range]`);
      await page.keyboard.press("ArrowRight");
      await status(page, id, first, moved);
    }
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate((id) => axe.run(`#${id}`), id);
    for (const { impact, help, nodes } of violations) {
      if (["serious", "critical"].includes(impact)) {
        note(
          `${id}: ${help}: ${nodes
            .map((node) => node.html)
            .join(" ")
            .slice(0, 300)}`,
        );
      }
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    wide > 0 && width < 500 && note(`${id}: the page is ${wide} px wider than the screen`);
  } catch (error) {
    note(`${id}: ${error.message}`);
  }
  await page.close();
}

/** The same numbers, asked of the page's own modules. */
async function numbers() {
  const { page, note } = await open("side-by-side.html", 1280);
  const questions = JSON.parse(await readFile(new URL("questions.json", import.meta.url)));
  const expected = JSON.parse(await readFile(native));
  for (const build of ["simd", "plain"]) {
    for (const [i, { name, settings, files, ask }] of questions.entries()) {
      const read = await Promise.all((files ?? []).map((file) => readFile(join(vectors, file))));
      const given = await page.evaluate(
        async (name, settings, bytes, ask, build) => {
          const { default: load, Started } = await import(`./live/${build}/live.js`);
          await load();
          const file = ["bf16", "train"].includes(name)
            ? await (await fetch("live/tiny.safetensors")).arrayBuffer()
            : bytes;
          const started = new Started(name, JSON.stringify(settings), new Uint8Array(file));
          const answers = ask.map((question) => JSON.parse(started.ask(JSON.stringify(question))));
          started.free();
          return answers;
        },
        name,
        settings,
        [...Buffer.concat(read)],
        ask,
        build,
      );
      const wrong = compare(given, expected[i]);
      wrong && note(`${build}, ${name} ${settings.method ?? ""}: ${wrong}`);
    }
  }
  await page.close();
}

await numbers();
console.log("compared");
for (const figure of FIGURES) {
  for (const width of [1280, 390]) {
    await drive(figure, width);
  }
}
const tools = { open, press, status };
await drag(tools);
await controls(tools);
await train(tools);
await judged(tools, vectors);
await badInput(tools);
await browser.close();
server.close();
console.log(problems.length ? `${problems.length} problems, listed above` : "the pages give the native numbers");
process.exitCode = problems.length ? 1 : 0;
