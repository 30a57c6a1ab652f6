// What mdBook's pages lack for readers without a mouse.

// What scrolls in a box of its own can be reached by the keyboard.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) {
      target.setAttribute("tabindex", "0");
    } else {
      target.removeAttribute("tabindex");
    }
  }
});
for (const box of document.querySelectorAll("main pre > code, main .table-wrapper, main math[display=block]")) {
  boxes.observe(box);
}

// The sidebar's button is a label, which neither the keyboard reaches nor may have a name and a state.
const toggle = document.getElementById("mdbook-sidebar-toggle");
toggle.setAttribute("role", "button");
toggle.setAttribute("tabindex", "0");
toggle.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    toggle.click();
  }
});
