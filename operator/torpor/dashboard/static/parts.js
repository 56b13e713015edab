// The small pictures that all sections share: states, replicas, shares of a whole, empty places.

import { attribute, h, keyed, property, text } from "./dom.js";
import { tipped } from "./tip.js";

const MOST_DOTS = 20;

/** A word for a state, with the colour of its kind. */
export function pill() {
  const node = h("span", { class: "pill" });
  return {
    node,
    update(word) {
      text(node, String(word ?? "").toLowerCase());
      attribute(node, "data-state", String(word ?? "").toLowerCase());
    },
  };
}

/** Replicas as dots: full ones are ready, rings start, and at zero there is a crescent. */
export function dots() {
  const node = h("span", { class: "dots", role: "img" });
  return {
    node,
    update({ state, replicas = 0, ready = 0, wanted = 0 }) {
      const all = Math.max(replicas, ready, wanted);
      const drawn = Array.from({ length: Math.min(all, MOST_DOTS) }, (_, place) => dot(place, ready, replicas));
      const kinds = all ? drawn : [state === "job" ? "job" : "asleep"];
      if (all > MOST_DOTS) kinds.push("more");
      const keys = kinds.map((kind, place) => ({ kind, place, more: all - MOST_DOTS }));
      keyed(node, keys, (key) => `${key.place}${key.kind}`, dotView);
      attribute(node, "aria-label", replicasTold(state, replicas, ready, wanted));
    },
  };
}

const dot = (place, ready, replicas) => (place < ready ? "ready" : place < replicas ? "starting" : "wanted");

function dotView() {
  const node = h("i");
  return {
    node,
    update({ kind, more }) {
      attribute(node, "class", `dot ${kind}`);
      text(node, kind === "more" ? `+${more}` : "");
    },
  };
}

function replicasTold(state, replicas, ready, wanted) {
  if (state === "job") return "a Job: pods only while it runs";
  if (!Math.max(replicas, ready, wanted)) return "asleep: no replicas";
  const goal = wanted === replicas ? "" : `, ${wanted} wanted`;
  return `${ready} of ${replicas} replicas ready${goal}`;
}

/**
 * A horizontal bar of parts. `update({parts: [[name, value]], scale, say, label})`: `say` turns a
 * value into text, the bar is `sum / scale` of its room wide.
 */
export function stackedBar() {
  const fill = h("span", { class: "bar-fill" });
  const node = h("span", { class: "bar", role: "img", tabindex: "0" }, fill);
  return {
    node,
    update({ parts, scale, say, label }) {
      const seen = parts.filter(([, value]) => value > 0);
      const sum = seen.reduce((all, [, value]) => all + value, 0);
      property(fill, "--width", `${scale ? Math.max(0.4, (100 * sum) / scale) : 100}%`);
      keyed(fill, seen.map(([name, value]) => [name, (100 * value) / sum]), ([name]) => name, partView);
      const rows = parts.map(([name, value]) => [name, say(value), name]);
      attribute(node, "aria-label", `${label}: ${rows.map((row) => `${row[0]} ${row[1]}`).join(", ")}`);
      tipped(node, [...rows, ["total", say(sum), ""]]);
    },
  };
}

function partView([name]) {
  const node = h("i", { class: "part", "data-part": name });
  return { node, update: ([, value]) => property(node, "--share", value) };
}

/** The meanings of a bar's colours. */
export function legend(names) {
  const item = (name) => h("li", {}, h("i", { class: "swatch", "data-part": name }), name);
  return h("ul", { class: "legend", "aria-hidden": "true" }, ...names.map(item));
}

/** What stands where nothing is: why, and the command that would change it. */
export function empty(title, why, command) {
  return h("div", { class: "empty" },
    h("h3", { text: title }), h("p", { text: why }),
    command ? h("code", { class: "command", text: command, tabindex: "0" }) : null);
}

/** A number with its name below, and a note; `update(value, note, wrong)`. */
export function tile(name, href) {
  const value = h("b", { class: "tile-value" });
  const note = h("span", { class: "tile-note" });
  const node = h("a", { class: "tile", href }, h("span", { class: "tile-name", text: name }), value, note);
  return {
    node,
    update(said, more = "", wrong = false) {
      text(value, said);
      text(note, more);
      attribute(node, "data-wrong", wrong);
    },
  };
}

/** JSON with indents, as text. */
export const json = (value) => h("pre", { class: "json", tabindex: "0", text: pretty(value) });

function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch (other) {
    return value; // a text that is no JSON is shown as it is
  }
}
