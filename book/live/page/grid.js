// Pairs of learning rates as a grid of cells, with a path through it. Rows are exponents of A's rate, columns of B's.

import { shape } from "./plot.js";

const SIDE = 28;

/** 2 to a power, as text. */
export const power = (exponent) => `2^${exponent}`.replace("-", "−");

/** An empty grid; `picked` is told the pair whose cell is pressed. */
export function grid(powers, picked) {
  const [edge, first] = [SIDE * powers.length, powers[0]];
  const svg = shape("svg", { viewBox: `-52 -44 ${edge + 54} ${edge + 46}`, class: "live-landscape", role: "img" });
  svg.setAttribute("aria-label", "The loss at each pair of learning rates: the stronger the colour, the lower");
  const text = (x, y, anchor, words) => svg.append(shape("text", { x, y, "text-anchor": anchor }, words));
  text(-48, -30, "start", "η_A ↓   η_B →");
  for (const [i, exponent] of powers.entries()) {
    if (i % 2 === 0) {
      text(SIDE * (i + 0.5), -8, "middle", power(exponent));
      text(-6, SIDE * (i + 0.5) + 4, "end", power(exponent));
    }
  }
  const cells = new Map();
  for (const [i, a] of powers.entries()) {
    for (const [j, b] of powers.entries()) {
      const place = { x: SIDE * j, y: SIDE * i, width: SIDE, height: SIDE };
      cells.set(`${a},${b}`, svg.appendChild(shape("rect", { ...place, class: "live-cell", "fill-opacity": 0 })));
    }
  }
  const path = svg.appendChild(shape("polyline", { class: "live-path" }));
  const here = svg.appendChild(shape("circle", { r: 7, class: "live-here" }));
  const middle = (a, b) => [SIDE * (b - first + 0.5), SIDE * (a - first + 0.5)];

  svg.addEventListener("pointerdown", (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const [a, b] = [y, x].map((at) => Math.floor(at / SIDE) + first);
    if (cells.has(`${a},${b}`)) {
      picked(a, b);
    }
  });

  return {
    svg,
    /** From nothing at a loss of 1 to the full colour at a hundredth; of a run that blew up, null, the border only. */
    paint(a, b, loss) {
      const cell = cells.get(`${a},${b}`);
      const full = loss === null ? 0 : Math.min(1, Math.max(0, -Math.log10(loss) / 2));
      cell.setAttribute("class", "live-cell live-done");
      cell.setAttribute("fill-opacity", full.toFixed(2));
    },
    clear() {
      for (const cell of cells.values()) {
        cell.setAttribute("class", "live-cell");
        cell.setAttribute("fill-opacity", 0);
      }
    },
    /** Draws the path on which B's exponent is A's and `k`, and where on it A's is `a`. */
    path(k, a) {
      const inside = powers.filter((a) => powers.includes(a + k));
      path.setAttribute("points", inside.map((a) => middle(a, a + k).join(",")).join(" "));
      const [x, y] = middle(a, a + k);
      here.setAttribute("cx", x);
      here.setAttribute("cy", y);
      here.style.display = inside.includes(a) ? "" : "none";
    },
  };
}
