// Says what became of something that was done here, to eyes and to screen readers.

import { attribute, text } from "./dom.js";

const SHOWN_MILLISECONDS = 8000;
let timer = 0;

/** Show a message for a while; `kind` "wrong" stands out. */
export function tell(message, kind = "done") {
  const box = document.getElementById("told");
  text(box, message);
  attribute(box, "data-kind", kind);
  clearTimeout(timer);
  timer = setTimeout(() => text(box, ""), SHOWN_MILLISECONDS);
}
