// One tooltip for the page: what a picture shows as numbers, at the pointer's or the focus's place.

import { h, shown } from "./dom.js";

const lines = new WeakMap();

/** Let `node` tell `rows` of `[name, value, part]` when hovered or focused; `part` has a colour. */
export function tipped(node, rows) {
  lines.set(node, rows);
  node.dataset.tip = "";
  if (node === current) show(node);
}

let current = null;

/** Make `box` the page's tooltip. */
export function tips(box) {
  const near = (event) => event.target.closest?.("[data-tip]");
  const enter = (event) => near(event) && show(near(event));
  const leave = () => hide(box);
  document.addEventListener("pointerover", (event) => (near(event) ? enter(event) : leave()));
  document.addEventListener("focusin", (event) => (near(event) ? enter(event) : leave()));
  document.addEventListener("focusout", leave);
  document.addEventListener("scroll", leave, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && leave());
}

function hide(box) {
  current = null;
  shown(box, false);
}

function show(node) {
  const box = document.getElementById("tip");
  current = node;
  box.replaceChildren(...(lines.get(node) ?? []).map(row));
  shown(box, true);
  const at = node.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left + at.width / 2 - width / 2, innerWidth - width - 8));
  const above = at.top - height - 8;
  box.style.left = `${left}px`;
  box.style.top = `${above > 8 ? above : at.bottom + 8}px`;
}

function row([name, value, part]) {
  return h("div", { class: "tip-row" },
    h("i", { class: "swatch", "data-part": part }),
    h("span", { text: name }),
    h("b", { text: value }));
}
