// The lines of the workspace that an experiment runs.

import { element } from "./figure.js";

/** The lines of the workspace that an experiment runs, [file, anchor], …, and a command that runs them without a browser. */
export function code() {
  const details = element("details", { className: "live-code" }, element("summary", {}, "The lines that run"));
  const body = element("div");
  details.append(body);
  let wanted = [];
  let natively = [];
  const fill = async () => {
    if (!details.open) {
      return;
    }
    const all = await (await fetch(new URL("code.json", import.meta.url))).json();
    const parts = wanted.flatMap(([file, anchor]) => {
      const text = element("code", { className: "language-rust hljs", tabIndex: 0 }, all[file][anchor]);
      globalThis.hljs?.highlightBlock(text);
      return [element("p", {}, element("code", {}, file)), element("pre", {}, text)];
    });
    body.replaceChildren(...parts, ...natively);
  };
  details.addEventListener("toggle", fill);
  return {
    details,
    show(lines, command) {
      wanted = lines;
      natively = command ? [element("p", {}, "Without a browser: ", element("code", {}, command))] : [];
      fill();
    },
  };
}
