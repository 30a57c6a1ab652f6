// What the controls reach, and what becomes of their settings: in the address, and beside an answer that comes late.

/** Milliseconds: longer than settings rest before they are in the address. */
const RESTED = 600;

/** In the page: sets sliders of a figure, [which, value], …; a value may be "min" or "max". */
function slide(id, places) {
  const inputs = document.querySelectorAll(`#${id} input[type=range]`);
  for (const [i, value] of places) {
    inputs[i].value = ["min", "max"].includes(value) ? inputs[i][value] : value;
    inputs[i].dispatchEvent(new Event("input"));
  }
}

const rest = () => new Promise((resolve) => setTimeout(resolve, RESTED));

/** Browsers refuse too many changes of the address. */
async function address(page, note) {
  const id = "live-ellipse";
  await page.evaluate(() => {
    globalThis.changes = 0;
    const { replaceState } = history;
    history.replaceState = (...given) => {
      globalThis.changes += 1;
      replaceState.apply(history, given);
    };
  });
  const many = Array.from({ length: 150 }, (_, i) => [0, (i % 30) / 10]);
  await page.evaluate(slide, id, [...many, [0, 3]]);
  await rest();
  const hash = () => page.evaluate(() => decodeURIComponent(location.hash));
  const changes = await page.evaluate(() => globalThis.changes);
  changes <= 2 || note(`${changes} changes of the address`);
  (await hash()) === `#${id}:columns=3,1,-1,1.5` || note(`the address is ${await hash()}`);
  await page.evaluate(slide, id, [[0, 2]]);
  await page.evaluate(() => void dispatchEvent(new Event("pagehide")));
  (await hash()) === `#${id}:columns=2,1,-1,1.5` || note(`the address of a page that is left is ${await hash()}`);
  await page.evaluate(() => {
    history.replaceState = () => {
      throw new DOMException("too many", "SecurityError");
    };
  });
  await page.evaluate(slide, id, [[0, 1]]);
  await rest();
  const x = await page.$eval(`#${id} .live-column`, (line) => line.getAttribute("x2"));
  x === "1" || note(`where the address cannot be changed, the column is drawn at ${x}`);
}

/** An answer comes with its question. */
async function late(page, note) {
  const shown = await page.evaluate(async () => {
    const { asker } = await import("./live/experiment.js");
    const shown = [];
    const ask = asker({ ready: null, ask: async (x) => 2 * x }, (...given) => shown.push(given), shown.push);
    const first = ask(1);
    ask(2);
    await first;
    return JSON.stringify(shown);
  });
  shown === "[[2,1],[4,2]]" || note(`answers and questions are ${shown}`);
}

export async function controls({ open, press, status }) {
  /** In the figure, once it is started. */
  const within = async (path, id, ready, look) => {
    const { page, note } = await open(path, 1280);
    const noted = (what) => note(`${id}: ${what}`);
    try {
      await page.waitForSelector(`#${id} button`);
      await press(page, id, "Start");
      await status(page, id, "", ready);
      await look(page, noted);
    } catch ({ message }) {
      noted(message);
    }
    await page.close();
  };
  await within("svd.html", "live-ellipse", /rank 2/, async (page, note) => {
    await address(page, note);
    await late(page, note);
  });
  await within("lora-plus.html", "live-landscape", /./, async (page, note) => {
    // The lower left: the largest η_A and the smallest η_B.
    const cells = await page.$$("#live-landscape .live-cell");
    await cells[110].click();
    const ratio = await page.$eval("#live-landscape output", ({ value }) => value);
    ratio === String(2 ** -10) || note(`in the corner λ is ${ratio}`);
  });
  await within("lora-fa.html", "live-kept", /keeps/, async (page, note) => {
    await page.evaluate(slide, "live-kept", [
      [1, "min"],
      [2, "max"],
    ]);
    const most = await page.$$eval("#live-kept input[type=range]", ([, , rank]) => rank.max);
    const width = await page.$$eval("#live-kept input[type=range]", ([, width]) => width.min);
    most === width || note(`at the width of 2^${width} the rank goes up to 2^${most}`);
    const said = await status(page, "live-kept", "", /keeps|rank is/);
    said.includes("keeps") || note(said);
  });
  await within("practice.html", "live-fits", /are trained/, async (page, note) => {
    // A width of 64, and a rank of 1024.
    await page.evaluate(slide, "live-fits", [
      [0, "max"],
      [4, "min"],
      [5, "min"],
    ]);
    await status(page, "live-fits", "", /the rank is 1024/);
    (await page.$("#live-fits .live-bar")) && note("the bars of another run are left");
  });
}
