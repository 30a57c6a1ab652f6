// Drives the built pages in a headless browser: node drive.mjs HTML NATIVE BROWSER. HTML is the built folder, NATIVE what
// book/live/src/bin/answers.rs printed. Says what is wrong and fails, or says what was measured.

import { readFile } from "node:fs/promises";
import axe from "axe-core";
import puppeteer from "puppeteer-core";
import { badInput } from "./bad.mjs";
import { compare } from "./compare.mjs";
import { listen } from "./complaints.mjs";
import { FIGURES } from "./figures.mjs";
import { serve } from "./serve.mjs";
import { tooLarge } from "./sizes.mjs";

/** Milliseconds: a busy machine is slow. */
const PATIENCE = 30_000;

const [html, native, executablePath] = process.argv.slice(2);
const problems = await tooLarge(html);
problems.forEach((problem) => void console.log(problem));
const server = await serve(html);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

/** A page that notes each error of its own and each request that fails or leaves the book. */
async function open(path, width) {
  const page = await browser.newPage();
  await page.setViewport({ width, height: 900 });
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

async function drive({ path, id, ready, moved }, width) {
  console.log(`${(performance.now() / 1000).toFixed(0)} s: ${id} at ${width}`);
  const { page, note } = await open(path, width);
  try {
    await page.waitForSelector(`#${id} button`);
    await press(page, id, "Start");
    const first = await status(page, id, "", ready);
    if (moved) {
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
    for (const [i, { name, settings, ask }] of questions.entries()) {
      const given = await page.evaluate(
        async (name, settings, ask, build) => {
          const { default: load, Started } = await import(`./live/${build}/live.js`);
          await load();
          const file = ["bf16", "train"].includes(name)
            ? await (await fetch("live/tiny.safetensors")).arrayBuffer()
            : new ArrayBuffer();
          const started = new Started(name, JSON.stringify(settings), new Uint8Array(file));
          const answers = ask.map((question) => JSON.parse(started.ask(JSON.stringify(question))));
          started.free();
          return answers;
        },
        name,
        settings,
        ask,
        build,
      );
      const wrong = compare(given, expected[i]);
      wrong && note(`${build}, ${name} ${settings.method ?? ""}: ${wrong}`);
    }
  }
  await page.close();
}

/** Training by the keyboard alone; its rate, the longest task of the page's thread, and its memory after restarts. */
async function train() {
  const { page, note } = await open("side-by-side.html", 1280);
  const id = "live-train";
  await page.waitForSelector(`#${id} button`);
  await page.evaluate(() => {
    globalThis.tasks = [0];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      entryTypes: ["longtask"],
    });
  });
  await page.focus(`#${id} select`);
  for (let i = 0; i < 20; i += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement.textContent === "Start")) {
      break;
    }
  }
  await page.keyboard.press("Enter");
  const done = await status(page, id, "", /steps a second/).catch(({ message }) => note(message));
  const longest = await page.evaluate(() => Math.max(...tasks));
  const used = async () => {
    await press(page, id, "Start");
    await status(page, id, "", /^Step/).catch(({ message }) => note(message));
    await press(page, id, "Reset");
    const session = await page.createCDPSession();
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    return { usedSize, workers: page.workers().length };
  };
  const first = await used();
  let last;
  for (let i = 0; i < 19; i += 1) {
    last = await used();
  }
  if (last.workers > 0 || last.usedSize > 1.2 * first.usedSize) {
    note(`after one run ${JSON.stringify(first)}, after twenty ${JSON.stringify(last)}`);
  }
  console.log(`training: ${done} Longest task ${longest.toFixed(0)} ms.`);
  console.log(`memory of the page after 1 run ${first.usedSize}, after 20 ${last.usedSize} bytes`);
  await page.close();
}

await numbers();
console.log("compared");
for (const figure of FIGURES) {
  for (const width of [1280, 390]) {
    await drive(figure, width);
  }
}
await train();
await badInput({ open, press, status });
await browser.close();
server.close();
console.log(problems.length ? `${problems.length} problems, listed above` : "the pages give the native numbers");
process.exitCode = problems.length ? 1 : 0;
