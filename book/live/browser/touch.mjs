// A finger on a phone: it presses Start, moves the first slider, and drags.

/** Presses the button that says `name`. */
export async function tap(page, id, name) {
  for (const button of await page.$$(`#${id} button`)) {
    if ((await button.evaluate((element) => element.textContent)) === name) {
      await button.tap();
    }
  }
}

/** Touches the first slider near its right end; fails if it does not go there. */
export async function slide(page, id) {
  const slider = await page.$(`#${id} input[type=range]`);
  await slider.scrollIntoView();
  const before = await slider.evaluate((input) => input.value);
  const { x, y, width, height } = await slider.boundingBox();
  await page.touchscreen.tap(x + 0.9 * width, y + height / 2);
  if ((await slider.evaluate((input) => input.value)) === before) {
    throw new Error("its slider does not follow a finger");
  }
}

/** The columns of the matrix are dragged. */
export async function drag({ open, status }) {
  const { page, note } = await open("svd.html", 390);
  const id = "live-ellipse";
  try {
    await page.waitForSelector(`#${id} button`);
    await tap(page, id, "Start");
    const before = await status(page, id, "", /rank 2/);
    const handle = await page.$(`#${id} .live-handle`);
    await handle.scrollIntoView();
    const { x, y } = await handle.boundingBox();
    const touch = await page.touchscreen.touchStart(x + 5, y + 5);
    await touch.move(x - 20, y + 40);
    await touch.move(x - 30, y + 60);
    await touch.end();
    await status(page, id, before, /σ₁/);
  } catch ({ message }) {
    note(`${id}: a finger that drags: ${message}`);
  }
  await page.close();
}
