// What a page does that none may do: errors of its own, requests that fail, requests that leave the book.

/** Calls `note` with each, from now on. */
export function listen(page, server, note) {
  page.on("console", (message) => message.type() === "error" && note(message.text()));
  page.on("pageerror", (error) => note(error.message));
  page.on("requestfailed", (request) => note(`${request.url()} failed`));
  page.on("request", (request) => {
    const url = request.url();
    url.startsWith(server.address) || url.startsWith("data:") || url.startsWith("blob:") || note(`asks for ${url}`);
  });
}
