// What the figures share: elements, controls, settings in the address, a start.

/** An element with attributes or properties, and what is in it. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) {
      made[key] = value;
    } else {
      made.setAttribute(key, value);
    }
  }
  made.append(...children);
  return made;
}

/** A slider with its name and value. `at` makes a setting of the slider's place, `show` a text of the setting. */
export function slider({ label, min, max, step = 1, place, at = (x) => x, show = String, changed }) {
  const input = element("input", { type: "range", min, max, step, value: place });
  const output = element("output");
  const setting = () => at(Number(input.value));
  const update = () => {
    output.value = show(setting());
    input.setAttribute("aria-valuetext", output.value);
  };
  input.addEventListener("input", () => {
    update();
    changed?.(setting());
  });
  update();
  const row = element("label", { className: "live-slider" }, element("span", {}, label), input, output);
  return {
    row,
    get value() {
      return setting();
    },
    set most(x) {
      input.max = x;
      update();
    },
    set place(x) {
      input.value = x;
      update();
    },
  };
}

/** A choice among [value, text]. */
export function choice({ label, options, value, changed }) {
  const items = options.map(([value, text]) => element("option", { value }, text));
  const select = element("select", {}, ...items);
  select.value = value;
  select.addEventListener("change", () => changed?.(select.value));
  return { row: element("label", { className: "live-slider" }, element("span", {}, label), select), select };
}

/** The settings that the address holds for a figure, `#id:key=value&…`, or null. */
export function fromAddress(id) {
  const prefix = `#${id}:`;
  return location.hash.startsWith(prefix) ? new URLSearchParams(location.hash.slice(prefix.length)) : null;
}

/** Milliseconds that settings rest before they are written: Safari allows 100 changes of the address in 30 s. */
const REST = 300;
let [waiting, timer] = [null];

/** Puts a figure's settings into the address, once they rest. */
export function toAddress(id, settings) {
  waiting = `#${id}:${new URLSearchParams(settings)}`;
  clearTimeout(timer);
  timer = setTimeout(write, REST);
}

function write() {
  if (waiting === null) {
    return;
  }
  try {
    history.replaceState(null, "", waiting);
    waiting = null;
  } catch {
    // The browser has had too many changes. No figure depends on it, and the next change writes again.
  }
}

addEventListener("pagehide", write);
// The reader has gone to another place on the page.
addEventListener("hashchange", () => {
  clearTimeout(timer);
  waiting = null;
});

/** The figure of this id, styled and scrolled to if the address names it. */
function styled(id) {
  const place = document.getElementById(id);
  if (!document.querySelector("link[data-live]")) {
    const href = new URL("live.css", import.meta.url);
    document.head.append(element("link", { rel: "stylesheet", href, "data-live": "" }));
  }
  if (fromAddress(id)) {
    place.scrollIntoView();
  }
  return place;
}

/** The figure of this id, emptied of its still text. */
export function figure(id) {
  const place = styled(id);
  place.replaceChildren();
  place.classList.add("live-on");
  return place;
}

/** A figure that keeps its still text until the reader starts it; then `build(place, address)` fills it. */
export function startable(id, build) {
  const button = element("button", { type: "button" }, "Start");
  button.addEventListener("click", () => build(figure(id), fromAddress(id) ?? new URLSearchParams()));
  styled(id).append(button);
}
