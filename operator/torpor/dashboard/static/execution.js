// One execution: its graph in the colours of how its states stand, its input and output, history.

import * as api from "./api.js";
import { now } from "./clock.js";
import { h, shown, text } from "./dom.js";
import { clock, seconds } from "./format.js";
import { graphDrawing } from "./graph.js";
import { opened } from "./opened.js";
import { json, pill } from "./parts.js";
import { said, table } from "./table.js";

/** `update(snapshot)` asks again for the one that is open, when it changed or still runs. */
export function executionView() {
  const view = opened({
    back: "#executions", label: "Executions", draw: whole,
    fetch: (arn) => api.get(`executions/${encodeURIComponent(arn)}`),
  });
  let [latest, seen] = [[], ""];
  return {
    node: view.node,
    open(arn) {
      seen = looksOf(latest, arn);
      view.open(arn);
    },
    update(snapshot) {
      latest = snapshot.executions;
      const looks = looksOf(latest, view.key);
      if (looks !== seen) view.again();
      seen = looks;
    },
  };
}

/** What the list says of one; empty where it says nothing. */
function looksOf(executions, arn) {
  const mine = executions.find((each) => each.arn === arn);
  return mine ? JSON.stringify([mine.status, mine.states, mine.error, mine.seconds]) : "";
}

function whole(execution) {
  const head = heading();
  const drawing = execution.graph ? graphDrawing(execution.graph) : null;
  const room = h("div", { class: "graph-room card", tabindex: "0", role: "region", "aria-label": "Graph of the execution" });
  if (drawing) room.append(drawing.node);
  else room.append(h("p", { class: "note", text: "The definition cannot be drawn." }));
  const events = historyTable();
  const data = h("div", { class: "pair" });
  const partly = h("p", { class: "note", text: "It is longer than this: `torpor workflow show` has all of it." });
  const node = h("div", { class: "stack" }, head.node, room, data,
    h("section", { class: "card" }, h("h3", { text: "History" }), partly, events.node));
  let shape = null;
  return {
    node,
    update(told) {
      head.update(told);
      drawing?.update(told.graph);
      events.update(told.history);
      shown(partly, told.complete === false);
      const wanted = JSON.stringify([told.input, told.output, told.cause]);
      if (wanted !== shape) data.replaceChildren(...dataOf(told));
      shape = wanted;
    },
  };
}

function heading() {
  const [name, workflow, took, error] = [h("h3"), h("span", { class: "place-of" }), h("span", { class: "note" }), h("p", { class: "problem" })];
  const status = pill();
  const node = h("header", { class: "detail-head" }, name, workflow, status.node, took, error);
  return {
    node,
    update(told) {
      text(name, told.name);
      text(workflow, told.workflow);
      status.update(told.status);
      text(took, seconds(told.status === "RUNNING" ? now() - told.startedAt : told.seconds));
      text(error, [told.error, told.cause].filter(Boolean).join(": "));
      shown(error, Boolean(told.error));
    },
  };
}

function dataOf(told) {
  const given = [["Input", told.input], ["Output", told.output]];
  const there = given.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return there.map(([name, value]) => h("section", { class: "card" }, h("h3", { text: name }), json(value)));
}

function historyTable() {
  return table("History", (event) => event.id, [
    said("#", (event) => event.id, "number order"),
    said("Time", (event) => clock(event.at), "mono time"),
    said("Event", (event) => event.type, "name"),
    said("State", (event) => event.state ?? ""),
    said("Says", (event) => event.text, "wide"),
  ]);
}
