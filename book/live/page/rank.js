// A picture at rank k: the book's, or one that the reader brings.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";
import { plot } from "./plot.js";

const ID = "live-rank";
const [MOST_POINTS, MOST_BYTES] = [160, 50e6];

/** Width, height and the bytes of the points of a picture file, made smaller if it is large. */
async function read(file) {
  if (file.size > MOST_BYTES) {
    throw new Error(
      `${file.name} has ${(file.size / 1e6).toFixed(0)} MB, and at most ${MOST_BYTES / 1e6} can be read here`,
    );
  }
  const image = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can read`);
  });
  const factor = Math.min(1, MOST_POINTS / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * factor)));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  return { settings: { width, height }, points: context.getImageData(0, 0, width, height).data.buffer };
}

startable(ID, (place, address) => {
  const canvas = element("canvas", { className: "live-picture", role: "img" });
  const status = element("p", { role: "status", className: "live-status" });
  const row = element("div", { className: "live-row" }, canvas);
  const choose = element("input", { type: "file", accept: "image/*" });
  const [lines, own] = [code(), element("button", { type: "button" }, "The book’s picture")];
  lines.show(
    [
      ["crates/rank/src/decomposition.rs", "truncate"],
      ["crates/rank/src/jacobi.rs", "sweep"],
    ],
    "cargo run -p lowrank-rank --example rank-spectrum",
  );
  const rank = slider({ label: "rank k", min: 0, max: 96, place: address.get("k") ?? 8, changed: ask });
  const fail = (message) => {
    status.textContent = `${message}.`;
  };
  let [run, sigma, answer] = [];

  function ask() {
    answer({ rank: rank.value });
    toAddress(ID, { k: rank.value });
  }

  function show({ width, height, pixels, singular_values: values, error, bound, norm, kept }) {
    if (!sigma) {
      rank.most = values.length;
      const top = 10 ** Math.ceil(Math.log10(values[0]));
      const y = [1e-4, 1e-2, 1].map((part) => [part * top, String(part * top)]);
      sigma = plot({ title: "singular values; above k dropped", x: values.length, y, log: true, xLabel: "k" });
      row.replaceChildren(canvas, sigma.svg);
    }
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    pixels.forEach((value, i) => {
      image.data.set([value, value, value, 255], 4 * i);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `The picture at rank ${rank.value}`);
    const k = rank.value;
    const points = values.map((value, i) => [i + 1, value]);
    sigma.line("kept", points.slice(0, k), "live-kept");
    sigma.line("dropped", points.slice(k), "live-dropped");
    const share = (part, all) => `${((100 * part) / all).toFixed(1)}%`;
    status.textContent =
      `Rank ${k} keeps ${kept.toLocaleString("en")} of ${(width * height).toLocaleString("en")} numbers (${share(kept, width * height)}). ` +
      `It is off by ${error.toPrecision(6)}, ${share(error, norm)} of the picture; no matrix of rank ${k} is off by less than ${bound.toPrecision(6)}.`;
  }

  async function begin(file) {
    try {
      const { settings, points } = file ? await read(file) : { settings: { width: 0, height: 0 } };
      run?.end();
      run = new Run("picture", settings, points);
      sigma = null;
      answer = asker(run, show, fail);
      ask();
    } catch (error) {
      fail(error.message);
    }
  }

  choose.addEventListener("change", () => choose.files[0] && begin(choose.files[0]));
  own.addEventListener("click", () => begin());
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    begin(event.dataTransfer.files[0]);
  });
  const bring = element("label", {}, "or one of yours, which stays in this page: ", choose);
  place.append(rank.row, row, status, element("p", {}, own, " ", bring), lines.details);
  begin();
});
