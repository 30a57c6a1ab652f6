// Training by the keyboard alone: its rate, the longest task of the page's thread, and its memory after restarts.

/** What a run writes is named after the method that it trained, whatever is chosen since. */
async function named(page, id) {
  await page.select(`#${id} select`, "delta-lora");
  const command = await page.$eval(`#${id} .live-command`, (element) => element.textContent);
  if (!command.includes("--start-step 100")) {
    throw new Error(`Delta-LoRA's W would hardly move: ${command}`);
  }
  await page.$eval(`#${id} .live-answers p`, (answer) => answer.replaceChildren());
  await page.$eval(`#${id} input[maxlength]`, (input) => input.dispatchEvent(new Event("input")));
  const answer = await page.waitForSelector(`#${id} .live-answers p:not(:empty)`);
  const text = await answer.evaluate((element) => element.textContent);
  if (!text.startsWith("LoRA writes")) {
    throw new Error(`LoRA was trained: ${text}`);
  }
  await page.select(`#${id} select`, "lora");
}

export async function train({ open, press, status }) {
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
  await named(page, id).catch(({ message }) => note(message));
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
