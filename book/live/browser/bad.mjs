// Bad input: one clear sentence in the figure, and the page goes on.

/** Pictures of 150 × 150 points: transparent but for a black square, and black all over. The book's has a lower largest rank. */
async function pictures(page, press, say, note) {
  const drop = (side) =>
    page.evaluate(async (side) => {
      const canvas = new OffscreenCanvas(150, 150);
      canvas.getContext("2d").fillRect(0, 0, side, side);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], "own.png", { type: "image/png" }));
      document.getElementById("live-rank").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }, side);
  await drop(50);
  await say(/^Rank 8 .* of 22,500 .* 0\.0% of/, "a transparent picture");
  const corner = await page.$eval("#live-rank canvas", (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(149, 149, 1, 1);
    return data[0];
  });
  corner === 255 || note(`what is transparent has the brightness ${corner}`);
  await page.$eval("#live-rank input[type=range]", (input) => {
    input.value = input.max;
    input.dispatchEvent(new Event("input"));
  });
  await say(/^Rank 150 keeps/, "the largest rank");
  await press(page, "live-rank", "The book’s picture");
  await say(/^Rank 96 keeps/, "from the largest rank to a smaller picture");
  await drop(150);
  await say(/^Rank 96 .* of 22,500 .* off by 0\.00000, 0\.0% of/, "a black picture");
}

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
  await pictures(page, press, say, note);
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
