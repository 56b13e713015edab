// Executions of Workflows: the latest as a list; one opened shows its graph, live, and its history.

import { ago, seconds } from "./format.js";
import { now } from "./clock.js";
import { h, shown } from "./dom.js";
import { executionView } from "./execution.js";
import { empty, pill } from "./parts.js";
import { drawn, linked, said, table } from "./table.js";

export const executions = {
  id: "executions", title: "Executions", make,
  count: (snapshot) => snapshot.executions.length,
  wrong: (snapshot) => snapshot.executions.some((each) => ["FAILED", "TIMED_OUT"].includes(each.status)),
};

const addressOf = (each) => `#executions/${encodeURIComponent(each.arn)}`;

function make() {
  const rows = table("Executions", (each) => each.arn, [
    linked("Execution", (each) => each.name, addressOf),
    said("Workflow", (each) => each.workflow),
    drawn("Status", pill, (each) => each.status),
    said("Where", (each) => each.error || each.states.join(", "), "wide"),
    said("Started", (each) => ago(each.startedAt, now()), "number"),
    said("Took", (each) => seconds(each.status === "RUNNING" ? now() - each.startedAt : each.seconds), "number"),
    linked("Trace", (each) => each.traceId.slice(0, 8), (each) => each.traceId && `#traces/${each.traceId}`, "mono"),
  ]);
  const none = empty("No executions", "Start one of a Workflow:", "torpor workflow run NAME -d '{}'");
  const detail = executionView();
  const list = h("div", { class: "stack" }, none, rows.node);
  let seen = [];
  return {
    node: h("div", {}, list, detail.node),
    open([arn]) {
      shown(list, !arn);
      detail.open(arn ?? null);
    },
    update(snapshot) {
      seen = snapshot.executions;
      shown(none, !seen.length);
      shown(rows.node, seen.length > 0);
      rows.update(seen);
      detail.update(snapshot);
    },
    tick: () => rows.update(seen),
  };
}
