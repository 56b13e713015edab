// The dead letters of a Trigger: each with its error and its event, and all delivered again at once.

import * as api from "./api.js";
import { now } from "./clock.js";
import { attribute, h, keyed, shown, text } from "./dom.js";
import { ago, counted } from "./format.js";
import { opened } from "./opened.js";
import { json } from "./parts.js";
import { tell } from "./told.js";

const pathOf = (key) => `triggers/${api.path(...key.split("/"))}/dead-letters`;

/** `update(snapshot)` asks again when the number of letters of the one that is open changed. */
export function lettersView() {
  let [latest, number] = [[], undefined];
  const numberOf = (key) => latest.find((each) => `${each.namespace}/${each.name}` === key)?.deadLetters;
  const view = opened({
    back: "#triggers", label: "Triggers",
    fetch: (key) => api.get(pathOf(key)), draw: (told, key) => letterList(key, () => view.again()),
  });
  return {
    node: view.node,
    open(key) {
      number = numberOf(key);
      view.open(key);
    },
    update(snapshot) {
      latest = snapshot.triggers;
      const mine = numberOf(view.key);
      if (mine !== number) view.again();
      number = mine;
    },
  };
}

function letterList(key, again) {
  const title = h("h3");
  const button = redriveButton(key, again);
  const list = h("ul", { class: "letters", "aria-label": "Dead letters" });
  const fine = h("p", { class: "fine", text: "No dead letters: all that came was taken." });
  const node = h("div", { class: "stack" }, h("header", { class: "detail-head" }, title, button.node), fine, list);
  return {
    node,
    update(told) {
      const { letters } = told;
      const more = told.after !== null && told.after !== undefined;
      text(title, `${key}: ${more ? "at least " : ""}${counted(letters.length, "dead letter")}`);
      shown(fine, !letters.length);
      button.update(letters.length);
      keyed(list, letters, (letter) => letter.seq, letterView);
    },
  };
}

/** Asks once more before it acts, and says what became of it. */
function redriveButton(key, again) {
  const node = h("button", { type: "button", class: "act", on: { click: pressed, blur: () => ask(false) } });
  let sure = false;
  function ask(wanted) {
    sure = wanted;
    text(node, sure ? "Deliver all of them again?" : "Redrive");
    attribute(node, "data-sure", sure);
  }
  async function pressed() {
    if (!sure) {
      ask(true);
      return;
    }
    node.disabled = true;
    try {
      const { moved, left } = await redriven(key);
      tell(`${counted(moved, "dead letter")} delivered again${left ? `, ${left} stay: their Trigger is gone, or they are no events` : ""}`);
    } catch (error) {
      tell(error.message, "wrong");
    }
    node.disabled = false;
    ask(false);
    again();
  }
  ask(false);
  return { node, update: (number) => shown(node, number > 0) };
}

/** Stretch by stretch, as the server does it; those that come back meanwhile stay. */
async function redriven(key) {
  const all = { moved: 0, left: 0 };
  let [after, last] = [0, 0];
  while (after !== null) {
    const told = await api.post(`${pathOf(key)}/redrive?after=${after}&last=${last}`, {});
    all.moved += told.moved;
    all.left += told.left;
    [after, last] = [told.after ?? null, told.last ?? 0];
  }
  return all;
}

function letterView(letter) {
  const facts = [
    `for ${letter.target}`, counted(letter.attempts, "attempt"), letter.status && `status ${letter.status}`,
    `given up ${ago(letter.buriedSeconds, now())}`,
  ];
  const trace = traceOf(letter.trace);
  const event = letter.event ?? { raw: letter.raw, attributes: letter.attributes };
  const node = h("li", { class: "card letter" },
    h("p", { class: "letter-head" }, h("b", { class: "mono", text: `#${letter.seq}` }), h("span", { class: "letter-error", text: letter.error })),
    h("p", { class: "note" }, `${facts.filter(Boolean).join(" · ")} `, trace ? h("a", { href: `#traces/${trace}`, text: "trace" }) : null),
    h("details", {}, h("summary", { text: `Event ${letter.event?.id ?? ""}` }), json(event)));
  return { node };
}

/** The id in a traceparent (W3C Trace Context, section 3.2). */
const traceOf = (header) => /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(header ?? "")?.[1];
