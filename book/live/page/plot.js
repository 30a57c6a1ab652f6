// Lines over steps, and bars, as SVG in the colours of the theme.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [340, 190, 46, 28, 22, 10];

export function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** An empty plot. `y` has ticks, [value, text], from the lowest to the highest; with `log` its scale is logarithmic. */
export function plot({ title, x, y, log = false, xLabel }) {
  const scale = log ? Math.log10 : (value) => value;
  const [low, high] = [scale(y[0][0]), scale(y.at(-1)[0])];
  let most = x;
  const across = (value) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const up = (value) => {
    const part = (scale(value) - low) / (high - low);
    return HEIGHT - BOTTOM - Math.min(1.02, Math.max(0, part)) * (HEIGHT - BOTTOM - TOP);
  };
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "live-plot" });
  svg.setAttribute("aria-label", title);
  const label = (x, y, anchor, text) => shape("text", { x, y, "text-anchor": anchor }, text);
  svg.append(label(LEFT, 14, "start", title));
  for (const [value, text] of y) {
    const height = up(value);
    svg.append(shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: height, y2: height, class: "live-grid" }));
    svg.append(label(LEFT - 6, height + 4, "end", text));
  }
  const end = label(WIDTH - RIGHT, HEIGHT - 8, "end", String(x));
  svg.append(label(LEFT, HEIGHT - 8, "middle", "0"), label(across(x / 2), HEIGHT - 8, "middle", xLabel), end);
  const lines = new Map();
  return {
    svg,
    /** The largest x. */
    set most(value) {
      most = value;
      end.textContent = String(value);
    },
    /** Draws the line of this name through [x, y], …; its colour and dashes are its class's. */
    line(name, points, classes) {
      if (!lines.has(name)) {
        lines.set(name, svg.appendChild(shape("polyline", {})));
      }
      lines.get(name).setAttribute("class", `live-line ${classes}`);
      const at = points.map(([x, y]) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`);
      lines.get(name).setAttribute("points", at.join(" "));
    },
    clear() {
      for (const line of lines.values()) {
        line.remove();
      }
      lines.clear();
    },
  };
}
