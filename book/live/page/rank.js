// A picture at rank k: the book's, or one that the reader brings.

import { code } from "./code.js";
import { asker, Run } from "./experiment.js";
import { element, slider, startable, toAddress } from "./figure.js";
import { plot } from "./plot.js";

const ID = "live-rank";
const [MOST_POINTS, MOST_BYTES] = [160, 50e6];
/** The book's picture, 128 × 96. */
const OURS = { settings: { width: 0, height: 0 }, most: 96 };

/** Width, height, the largest rank and the bytes of the points of a picture file, made smaller if it is large. */
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
  // What is transparent shows the paper.
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  const points = context.getImageData(0, 0, width, height).data.buffer;
  return { settings: { width, height }, most: Math.min(width, height), points };
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
  const rank = slider({ label: "rank k", min: 0, max: OURS.most, place: address.get("k") ?? 8, changed: ask });
  const fail = (message) => {
    // That was a picture which another one has replaced.
    if (message !== "stopped") {
      status.textContent = `${message}.`;
    }
  };
  let [run, sigma, answer, wanted] = [];

  function ask() {
    answer({ rank: rank.value });
    toAddress(ID, { k: rank.value });
  }

  function show({ width, height, pixels, singular_values: values, error, bound, norm, kept }, { rank: k }) {
    if (!sigma) {
      // A black picture is all zero.
      const top = 10 ** Math.ceil(Math.log10(values[0] || 1));
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
    canvas.setAttribute("aria-label", `The picture at rank ${k}`);
    const points = values.map((value, i) => [i + 1, value]);
    sigma.line("kept", points.slice(0, k), "live-kept");
    sigma.line("dropped", points.slice(k), "live-dropped");
    const share = (part, all) => `${(all > 0 ? (100 * part) / all : 0).toFixed(1)}%`;
    status.textContent =
      `Rank ${k} keeps ${kept.toLocaleString("en")} of ${(width * height).toLocaleString("en")} numbers (${share(kept, width * height)}). ` +
      `It is off by ${error.toPrecision(6)}, ${share(error, norm)} of the picture; no matrix of rank ${k} is off by less than ${bound.toPrecision(6)}.`;
  }

  async function begin(file) {
    wanted = file;
    try {
      const { settings, most, points } = file ? await read(file) : OURS;
      if (wanted !== file) {
        return;
      }
      run?.end();
      run = new Run("picture", settings, points);
      sigma = null;
      answer = asker(run, show, fail);
      rank.most = most;
      ask();
    } catch ({ message }) {
      if (wanted === file) {
        fail(message);
      }
    }
  }

  choose.addEventListener("change", () => choose.files[0] && begin(choose.files[0]));
  // A file that is chosen again, after another picture, is a change too.
  choose.addEventListener("click", () => {
    choose.value = "";
  });
  own.addEventListener("click", () => begin());
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    file && begin(file);
  });
  const bring = element("label", {}, "or one of yours, which stays in this page: ", choose);
  place.append(rank.row, row, status, element("p", {}, own, " ", bring), lines.details);
  begin();
});
