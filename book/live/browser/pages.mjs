// Looks at every page of the built book in a headless browser: node pages.mjs HTML PICTURES BROWSER. HTML is the built folder, in
// PICTURES two screenshots of each page are left. Says what is wrong and fails.
//
// A page is loaded once: light and wide, then dark, then narrow. The layout is the same in both themes, the colours at both widths.

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import axe from "axe-core";
import puppeteer from "puppeteer-core";
import { listen } from "./complaints.mjs";
import { serve } from "./serve.mjs";

const WIDE = 1280;
const NARROW = 390;
/** Milliseconds: a busy machine is slow. */
const PATIENCE = 120_000;
/** Lines: a row of a table that is taller has columns that are too narrow. */
const TALLEST = 12;

const [html, pictures, executablePath] = process.argv.slice(2);
const names = (await readdir(html)).filter((name) => name.endsWith(".html")).sort();
// toc.html stands inside of the other pages, and print.html is all of them.
const pages = names.filter((name) => !["toc.html", "print.html"].includes(name));
await rm(pictures, { recursive: true, force: true });
await mkdir(pictures, { recursive: true });
const server = await serve(html);
const launch = () => puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
// Each looks at one page at a time, and a page keeps one processor busy.
const browsers = [await launch(), await launch()];
const problems = [];

/** A tab, and a function that says what is wrong with the page that it shows. */
async function tab(browser = browsers[0]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const note = (what) => {
    const { pathname } = new URL(page.url());
    problems.push(`${pathname.slice(1)}: ${what}`);
    console.log(problems.at(-1));
  };
  listen(page, server, note);
  return { page, note, go: (name) => page.goto(`${server.address}/${name}`, { waitUntil: "load" }) };
}

/** In the page: what does not fit into its width. What a program printed may be as wide as it is. */
function overflow(tallest) {
  const found = [];
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  wide > 0 && found.push(`the page is ${wide} px wider than the window`);
  if (window.innerWidth > 1000) {
    for (const code of document.querySelectorAll("main pre > code:not(.language-text)")) {
      const most = code.scrollWidth - code.clientWidth;
      const longest = code.textContent.split("\n").reduce((a, b) => (b.length > a.length ? b : a), "");
      most > 0 && found.push(`code is ${most} px wider than its column: ${longest.trim()}`);
    }
  }
  for (const row of document.querySelectorAll("main tbody tr")) {
    const { lineHeight, fontSize } = getComputedStyle(row);
    // Where it is "normal".
    const line = Number.parseFloat(lineHeight) || 1.2 * Number.parseFloat(fontSize);
    const lines = row.offsetHeight / line;
    lines <= tallest || found.push(`a row of a table has ${lines.toFixed(0)} lines: ${row.textContent.slice(0, 60)}`);
  }
  return found;
}

const CONTRAST = ["color-contrast", "link-in-text-block"];
/** Formulas have the colour of their paragraph, and axe cannot tell that of a drawing. They are most of a page. */
const PLAIN = { exclude: [["math"], ["svg"]] };

/** What axe finds that is serious, in a part of the page and by some of its rules. */
async function accessible(page, note, part, rules) {
  const { violations } = await page.evaluate(
    (part, rules) => axe.run(part, { resultTypes: ["violations"], ...rules }),
    part,
    rules,
  );
  for (const { impact, help, nodes } of violations) {
    if (["serious", "critical"].includes(impact)) {
      note(`${help}, ${nodes.length} times: ${nodes[0].html.slice(0, 200)}`);
    }
  }
}

const theme = (page, value) => page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);

/** Looks at one page; returns the sentence that it begins with. */
async function look(name, browser) {
  const { page, note, go } = await tab(browser);
  const picture = (of) =>
    page.screenshot({ path: join(pictures, `${name.replace(/\.html$/, "")}-${of}.jpg`), fullPage: true, quality: 60 });
  const fits = async () => (await page.evaluate(overflow, TALLEST)).forEach(note);
  await theme(page, "light");
  await page.setViewport({ width: WIDE, height: 900 });
  await go(name);
  // Nothing is looked at while it moves.
  await page.addStyleTag({ content: "*, ::before, ::after { transition: none !important; }" });
  await page.evaluate(axe.source);
  await fits();
  await accessible(page, note, { exclude: [["math"]] }, {});
  await picture(`light-${WIDE}`);

  await theme(page, "dark");
  await accessible(page, (what) => note(`dark: ${what}`), PLAIN, { runOnly: CONTRAST });

  // A narrow page begins with its sidebar closed.
  await page.evaluate(() => {
    document.getElementById("mdbook-sidebar-toggle").click();
    document.getElementById("mdbook-sidebar").style.display = "none";
    // The next page would begin so as well.
    localStorage.clear();
  });
  await page.setViewport({ width: NARROW, height: 900 });
  // What observes the new width runs between two frames.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await fits();
  const structure = Object.fromEntries(CONTRAST.map((rule) => [rule, { enabled: false }]));
  await accessible(page, (what) => note(`${NARROW} px: ${what}`), PLAIN, { rules: structure });
  await picture(`dark-${NARROW}`);
  const first = await page.$eval("main > :is(p:not(.path), dl, ol)", (element) => element.textContent);
  await page.close();
  return first;
}

/** The search finds each page by the words that it begins with. */
async function search(beginnings) {
  const { page, note, go } = await tab();
  await go("introduction.html?search=rank");
  await page.waitForSelector("#mdbook-searchresults a");
  for (const [name, text] of beginnings) {
    const words = text
      .match(/[a-z]{4,}/gi)
      .slice(0, 8)
      .join(" ");
    await page.$eval(
      "#mdbook-searchbar",
      (bar, words) => {
        bar.value = words;
        bar.dispatchEvent(new Event("keyup"));
      },
      words,
    );
    await page
      .waitForSelector(`#mdbook-searchresults a[href*="${name}"]`, { timeout: PATIENCE / 10 })
      .catch(() => note(`a search for “${words}” does not find ${name}`));
  }
  await page.close();
}

/** All pages as one, on paper. */
async function print() {
  const { page, note, go } = await tab();
  // The page prints itself when it is loaded, and a page prints once at a time.
  await page.evaluateOnNewDocument(() => {
    globalThis.print = () => {};
  });
  await go("print.html");
  const pdf = Buffer.from(await page.pdf({ format: "A4", timeout: 4 * PATIENCE }));
  const sheets = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  console.log(`printed: ${sheets} sheets, ${pdf.length} bytes`);
  sheets > pages.length || note(`prints as ${sheets} sheets, there are ${pages.length} pages`);
  await page.close();
}

const beginnings = new Map();
const waiting = [...pages];
await Promise.all(
  browsers.map(async (browser) => {
    for (let name = waiting.shift(); name; name = waiting.shift()) {
      beginnings.set(name, await look(name, browser));
    }
  }),
);
// index.html is the introduction once more.
beginnings.delete("index.html");
await search(beginnings);
await print();
await Promise.all(browsers.map((browser) => browser.close()));
server.close();
console.log(problems.length ? `${problems.length} problems, listed above` : `${pages.length} pages are well`);
process.exitCode = problems.length ? 1 : 0;
