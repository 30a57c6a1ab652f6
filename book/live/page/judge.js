// The oracle in the page: a case and an answer to it, judged.

import { Run } from "./experiment.js";
import { element, startable } from "./figure.js";

const ID = "live-judge";
const MOST_BYTES = 50e6;

/** The verdict on an answer, as the oracle has it. */
async function judge(cases, answer) {
  const file = cases.find(({ name }) => name === answer.name);
  if (!file) {
    throw new Error(`there is no case called ${answer.name} among those that were given`);
  }
  for (const { name, size } of [file, answer]) {
    if (size > MOST_BYTES) {
      throw new Error(`${name} has ${(size / 1e6).toFixed(0)} MB, and at most ${MOST_BYTES / 1e6} can be read here`);
    }
  }
  const bytes = await new Blob([file, answer]).arrayBuffer();
  const run = new Run("judge", { case_bytes: file.size }, bytes);
  try {
    await run.ready;
    return await run.ask("verdict");
  } finally {
    run.end();
  }
}

startable(ID, (place) => {
  const input = () => element("input", { type: "file", multiple: true, accept: ".safetensors" });
  const [cases, answers] = [input(), input()];
  const status = element(
    "p",
    { role: "status", className: "live-status" },
    "Choose a case and an answer of the same name.",
  );
  const reports = element("div");

  let turn = 0;

  async function all() {
    const [given, own] = [cases, answers].map(({ files }) => [...files]);
    if (!given.length || !own.length) {
      return;
    }
    turn += 1;
    const mine = turn;
    reports.replaceChildren();
    const counts = new Map();
    for (const answer of own) {
      let said = "UNREADABLE";
      let text;
      try {
        const { verdict, report } = await judge(given, answer);
        [said, text] = [verdict, report];
      } catch ({ message }) {
        text = `${answer.name}: ${message}.`;
      }
      // Other files were chosen meanwhile.
      if (mine !== turn) {
        return;
      }
      counts.set(said, (counts.get(said) ?? 0) + 1);
      reports.append(element("pre", { className: "live-command", tabIndex: 0 }, text));
    }
    status.textContent = `${[...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ")}.`;
  }

  for (const files of [cases, answers]) {
    files.addEventListener("change", all);
    // A file that was written anew and is chosen again is a change too.
    files.addEventListener("click", () => {
      files.value = "";
    });
  }
  place.append(
    element("p", {}, element("label", {}, "cases, of tests/vectors: ", cases)),
    element("p", {}, element("label", {}, "your answers, which stay in this page: ", answers)),
    status,
    reports,
    element("p", {}, "The same natively: ", element("code", {}, "lowrank check --submission DIR")),
  );
});
