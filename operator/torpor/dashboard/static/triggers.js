// Triggers: what they listen to and reach, how far they lag, and their dead letters when opened.

import { attribute, h, shown, text } from "./dom.js";
import { count } from "./format.js";
import { lettersView } from "./letters.js";
import { empty, pill } from "./parts.js";
import { drawn, said, table } from "./table.js";
import { fails } from "./trouble.js";

export const triggers = {
  id: "triggers", title: "Triggers", make,
  count: (snapshot) => snapshot.triggers.length,
  wrong: (snapshot) => snapshot.triggers.some((each) => each.deadLetters > 0 || fails(each)),
};

const addressOf = (each) => `#triggers/${encodeURIComponent(each.namespace)}/${encodeURIComponent(each.name)}`;

function make() {
  const rows = table("Triggers", (each) => `${each.namespace}/${each.name}`, [
    { label: "Trigger", kind: "name", make: triggerName },
    said("Source", (each) => each.source, "mono"),
    said("Target", (each) => each.target, "mono"),
    drawn("State", pill, (each) => each.state),
    said("Lag", (each) => count(each.lag), "number"),
    said("Retrying", (each) => count(each.waiting), "number"),
    { label: "Dead letters", kind: "number", make: deadCount },
    said("Says", (each) => each.message, "wide"),
  ]);
  const none = empty("No Triggers", "One of each kind is among the examples:", "torpor dev examples/triggers/bus");
  const letters = lettersView();
  const list = h("div", { class: "stack" }, none, rows.node);
  return {
    node: h("div", {}, list, letters.node),
    open([namespace, name]) {
      shown(list, !name);
      letters.open(name ? `${namespace}/${name}` : null);
    },
    update(snapshot) {
      shown(none, !snapshot.triggers.length);
      shown(rows.node, snapshot.triggers.length > 0);
      rows.update(snapshot.triggers);
      letters.update(snapshot);
    },
  };
}

function triggerName() {
  const [name, place] = [h("a"), h("span", { class: "place-of" })];
  return {
    node: h("span", { class: "two-lines" }, name, place),
    update(each) {
      text(name, each.name);
      attribute(name, "href", addressOf(each));
      text(place, each.namespace);
    },
  };
}

function deadCount() {
  const node = h("b");
  return {
    node,
    update(each) {
      node.textContent = count(each.deadLetters);
      attribute(node, "data-wrong", each.deadLetters > 0);
    },
  };
}
