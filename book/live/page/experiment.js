// An experiment, seen from the page: questions to a worker, and their answers.

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

/**
 * A function that asks a run, one question at a time and always the newest, and shows what comes. `show` is told the answer and
 * its question: the controls may have moved on.
 */
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
        show(await run.ask(now), now);
      } catch (error) {
        fail(error.message);
      }
    }
    busy = false;
  };
}
