// Functions: how they stand, their replicas as dots, their load, and where the time of wakes went.

import { attribute, h, shown, text } from "./dom.js";
import { count, counted, milliseconds } from "./format.js";
import { dots, empty, legend, pill, stackedBar } from "./parts.js";
import { drawn, said, table } from "./table.js";

const PHASES = ["decide", "schedule", "create", "start", "release"];
const MANY = 12;

export const functions = {
  id: "functions", title: "Functions", make,
  count: (snapshot) => snapshot.functions.length,
  wrong: (snapshot) => snapshot.functions.some((each) => each.state === "failing"),
};

function make() {
  let scale = 0;
  const rows = table("Functions", (each) => `${each.namespace}/${each.name}`, [
    { label: "Function", kind: "name", make: functionName },
    drawn("State", pill, (each) => each.state),
    drawn("Replicas", dots, (each) => each, "replicas"),
    said("In flight", (each) => count(each.inFlight), "number"),
    said("Queued", (each) => count(each.queued), "number"),
    said("Held", (each) => count(each.held), "number"),
    said("Requests", (each) => count(each.requests), "number"),
    { label: "Latest cold starts", kind: "wide bars-cell", make: () => coldStarts(() => scale) },
  ]);
  const none = empty("No Functions", "Apply one, or serve a folder with one on this machine:", "torpor dev examples/hello");
  const search = h("input", { type: "search", class: "search", placeholder: "Find by name", "aria-label": "Find Functions by name", on: { input: () => show() } });
  const found = h("p", { class: "note", role: "status" });
  const phases = legend(PHASES);
  const node = h("div", { class: "stack" }, none, search, found, phases, rows.node);
  let all = [];
  function show() {
    const wanted = search.value.trim().toLowerCase();
    const seen = all.filter((each) => `${each.namespace}/${each.name}`.toLowerCase().includes(wanted));
    text(found, wanted ? `${counted(seen.length, "Function")} found` : "");
    rows.update(seen);
  }
  return {
    node,
    update(snapshot) {
      all = snapshot.functions;
      scale = Math.max(1, ...all.flatMap((each) => each.coldStarts.map((start) => start.totalMs)));
      shown(none, !all.length);
      shown(search, all.length > MANY);
      shown(phases, all.some((each) => each.coldStarts.length > 0));
      shown(rows.node, all.length > 0);
      show();
    },
  };
}

function functionName() {
  const [name, place, reason] = [h("b"), h("span", { class: "place-of" }), h("span", { class: "reason" })];
  return {
    node: h("span", { class: "two-lines" }, h("span", {}, name, " ", place), reason),
    update(each) {
      text(name, each.name);
      text(place, each.namespace);
      text(reason, each.reason);
      attribute(reason, "title", each.reason);
    },
  };
}

/** The latest wakes, the last one first, all bars of the page on one scale. */
function coldStarts(scaleOf) {
  const bars = h("span", { class: "bars" });
  const note = h("span", { class: "note" });
  const views = [];
  return {
    node: h("span", { class: "cold-starts" }, bars, note),
    update(each) {
      while (views.length < each.coldStarts.length) {
        views.push(stackedBar());
        bars.append(views.at(-1).node);
      }
      while (views.length > each.coldStarts.length) views.pop().node.remove();
      each.coldStarts.forEach((start, place) => views[place].update({
        parts: PHASES.map((phase) => [phase, start.phases[phase] ?? 0]),
        scale: scaleOf(), say: milliseconds,
        label: `${each.name}, cold start of ${milliseconds(start.totalMs)}`,
      }));
      text(note, noteOf(each));
    },
  };
}

function noteOf(each) {
  if (each.state === "job") return "runs have none";
  const latest = each.coldStarts[0];
  return latest ? milliseconds(latest.totalMs) : "none yet";
}
