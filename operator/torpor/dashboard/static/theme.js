// Dark, light, or as the system has it: the choice is kept in this browser.

import { attribute, text } from "./dom.js";

const KEY = "torpor-theme";
const NEXT = { system: "dark", dark: "light", light: "system" };

/** Make `button` go through the three. */
export function themed(button) {
  show(button, stored());
  button.addEventListener("click", () => {
    const chosen = NEXT[stored()];
    keep(chosen);
    show(button, chosen);
  });
}

function show(button, chosen) {
  attribute(document.documentElement, "data-theme", chosen === "system" ? null : chosen);
  text(button, { system: "◐", dark: "☾", light: "☀" }[chosen]);
  attribute(button, "aria-label", `Theme: ${chosen}. Change to ${NEXT[chosen]}`);
  attribute(button, "title", `Theme: ${chosen}`);
}

function stored() {
  try {
    const found = localStorage.getItem(KEY);
    return found in NEXT ? found : "system";
  } catch (refused) {
    return document.documentElement.dataset.theme ?? "system"; // a browser that keeps nothing
  }
}

function keep(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch (refused) {
    attribute(document.documentElement, "data-theme", chosen); // it holds until the page is left
  }
}
