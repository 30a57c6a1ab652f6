// Bad input: one clear sentence in the figure, and the page goes on.

export async function badInput({ open, press, status }) {
  const { page, note } = await open("svd.html", 1280);
  const say = async (expected, what) => {
    await status(page, "live-rank", "", expected).catch(({ message }) => note(`${what}: ${message}`));
  };
  await page.waitForSelector("#live-rank button");
  await press(page, "live-rank", "Start");
  await say(/^Rank 8/, "started");
  const drop = (bytes, name) =>
    page.evaluate(
      (bytes, name) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name));
        document
          .getElementById("live-rank")
          .dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
      },
      bytes,
      name,
    );
  await drop(10, "text.png");
  await say(/^text\.png is no picture/, "no picture");
  await drop(60e6, "huge.png");
  await say(/^huge\.png has 60 MB/, "a huge file");
  await press(page, "live-rank", "The book’s picture");
  await say(/^Rank 8/, "going on");
  await page.close();

  const { page: training, note: noteTraining } = await open(
    "side-by-side.html#live-train:method=lora&lr=100&rank=0",
    1280,
  );
  await training.waitForSelector("#live-train button");
  await press(training, "live-train", "Start");
  await status(training, "live-train", "", /training diverged.*smaller learning rate/).catch(({ message }) =>
    noteTraining(message),
  );
  await training.close();
}
