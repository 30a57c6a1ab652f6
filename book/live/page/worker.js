// The thread that calculates. It is told { id, start } once and { id, ask } then, and answers { id, answer } or { id, error }.

// A function that fills a vector of 16 bytes: valid only where SIMD is.
const VECTOR = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

async function load() {
  const build = WebAssembly.validate(new Uint8Array(VECTOR)) ? "simd" : "plain";
  const module = await import(`./${build}/live.js`);
  await module.default();
  return module.Started;
}

async function bytes(file) {
  if (file instanceof ArrayBuffer) {
    return new Uint8Array(file);
  }
  const response = await fetch(file);
  if (!response.ok) {
    throw new Error(`${file} cannot be read: ${response.status} ${response.statusText}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

const loaded = load();
let started;

async function answer({ start, ask }) {
  if (start) {
    const [Started, file] = await Promise.all([loaded, start.file ? bytes(start.file) : new Uint8Array()]);
    started = new Started(start.name, JSON.stringify(start.settings), file);
    return null;
  }
  return JSON.parse(started.ask(JSON.stringify(ask)));
}

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, answer: await answer(data) });
  } catch (error) {
    const ours = error instanceof WebAssembly.RuntimeError;
    self.postMessage({ id: data.id, error: ours ? `this is a fault of the book: ${error.message}` : error.message });
  }
};
