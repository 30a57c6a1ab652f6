// What the figures share: an experiment in a worker, elements, controls, settings in the address.

/** An experiment in a thread of its own. */
export class Run {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #count = 0;

  /** `file` is an address beside this module, or an ArrayBuffer. */
  constructor(name, settings, file) {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      error === undefined ? resolve(answer) : reject(new Error(error));
    };
    this.#worker.onerror = ({ message }) => this.#fail(message ?? "the worker could not be loaded");
    this.ready = this.#send({ start: { name, settings, file } });
  }

  ask(question) {
    return this.#send({ ask: question });
  }

  end() {
    this.#worker.terminate();
    this.#fail("stopped");
  }

  #send(message) {
    this.#count += 1;
    const id = this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message });
    });
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) {
      reject(new Error(message));
    }
    this.#waiting.clear();
  }
}

/** An element with attributes or properties, and what is in it. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    key in made ? (made[key] = value) : made.setAttribute(key, value);
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

/** Puts a figure's settings into the address. */
export function toAddress(id, settings) {
  history.replaceState(null, "", `#${id}:${new URLSearchParams(settings)}`);
}

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

/** A function that asks a run, one question at a time and always the newest, and shows what comes. */
export function asker(run, show, fail) {
  let next = null;
  let busy = false;
  return async (question) => {
    next = question;
    if (busy) {
      return;
    }
    busy = true;
    while (next) {
      const now = next;
      next = null;
      try {
        await run.ready;
        show(await run.ask(now));
      } catch (error) {
        fail(error.message);
      }
    }
    busy = false;
  };
}
