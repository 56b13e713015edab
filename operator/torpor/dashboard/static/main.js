// Starts the page: one section is seen at a time, by the address's part after #; all of them are
// fed by one stream of snapshots. Only the one that is seen is drawn.

import { bus } from "./bus.js";
import { told } from "./clock.js";
import { cost } from "./cost.js";
import { attribute, h, shown, text } from "./dom.js";
import { executions } from "./executions.js";
import { count } from "./format.js";
import { functions } from "./functions.js";
import { overview } from "./overview.js";
import { runs } from "./runs.js";
import { listen } from "./stream.js";
import { themed } from "./theme.js";
import { tips } from "./tip.js";
import { traces } from "./traces.js";
import { triggers } from "./triggers.js";

const TICK_MILLISECONDS = 1000;
const STANDS = { live: "live", stale: "connection lost", paused: "paused" };

const sections = [overview, functions, executions, runs, triggers, bus, cost, traces].map(placed);
const main = document.getElementById("main");
const live = document.getElementById("live");
let [snapshot, current] = [null, null];

/** A section with its place in the page, and its link. */
function placed(section) {
  const heading = h("h2", { id: `${section.id}-title`, tabindex: "-1", text: section.title });
  const view = section.make();
  const node = h("section", { id: section.id, class: "view", "aria-labelledby": heading.id, hidden: true }, heading, view.node);
  const number = h("span", { class: "nav-count" });
  const link = h("a", { href: `#${section.id}` }, h("span", { text: section.title }), number);
  return { ...section, view, node, heading, link, number };
}

function route() {
  const [id, ...parts] = location.hash.slice(1).split("/");
  const wanted = sections.find((section) => section.id === id) ?? sections[0];
  const moved = current !== null && wanted !== current;
  for (const section of sections) {
    shown(section.node, section === wanted);
    attribute(section.link, "aria-current", section === wanted && "page");
  }
  current = wanted;
  document.title = `${wanted.title} · Torpor`;
  wanted.link.scrollIntoView({ block: "nearest", inline: "nearest" });
  wanted.view.open?.(parts.filter(Boolean).map(decoded));
  if (snapshot) wanted.view.update(snapshot);
  if (moved) wanted.heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** A part of an address; as it is where somebody wrote it by hand, and not well. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    return part;
  }
}

function take(latest) {
  snapshot = latest;
  told(latest.at);
  text(document.getElementById("place"), latest.place);
  const problem = document.getElementById("problem");
  text(problem, latest.problem);
  shown(problem, Boolean(latest.problem));
  for (const section of sections) {
    section.view.keep?.(latest);
    const number = section.count(latest);
    text(section.number, number === null ? "" : count(number));
    attribute(section.link, "data-wrong", Boolean(section.wrong?.(latest)));
  }
  current.view.update(latest);
}

function stand(state) {
  if (state === "paused") sections.forEach((section) => section.view.forget?.());
  text(live, STANDS[state]);
  attribute(live, "data-state", state);
  attribute(document.body, "data-stale", state === "stale");
  attribute(live, "title", state === "stale" ? "What is shown may be old. The page tries again by itself." : "Changes are shown as they happen.");
}

document.getElementById("nav").append(h("ul", {}, ...sections.map((section) => h("li", {}, section.link))));
main.append(...sections.map((section) => section.node));
themed(document.getElementById("theme"));
tips(document.getElementById("tip"));
addEventListener("hashchange", route);
addEventListener("resize", () => snapshot && current.view.update(snapshot));
route();
listen("events", take, stand);
setInterval(() => snapshot && !document.hidden && current.view.tick?.(), TICK_MILLISECONDS);
