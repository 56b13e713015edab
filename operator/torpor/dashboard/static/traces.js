// Traces: the latest as a list; one opened as a tree, each span a bar where and as long as it was.

import * as api from "./api.js";
import { now } from "./clock.js";
import { h, shown } from "./dom.js";
import { ago, count, seconds } from "./format.js";
import { opened } from "./opened.js";
import { empty } from "./parts.js";
import { linked, said, table } from "./table.js";
import { waterfall } from "./waterfall.js";

export const traces = {
  id: "traces", title: "Traces", make,
  count: (snapshot) => snapshot.traces.length,
};

function make() {
  const rows = table("Traces", (each) => each.traceId, [
    linked("Trace", (each) => each.name, (each) => `#traces/${each.traceId}`),
    said("Id", (each) => each.traceId.slice(0, 8), "mono"),
    said("Began", (each) => ago(each.startedAt, now()), "number"),
    said("Took", (each) => seconds(each.seconds), "number"),
    said("Spans", (each) => count(each.spans), "number"),
    said("Errors", (each) => (each.errors ? count(each.errors) : ""), "number wrong-text"),
    said("Orphans", (each) => (each.orphans ? count(each.orphans) : ""), "number wrong-text"),
  ]);
  const none = empty("No traces", "Call a Function: what it did, and what it called, is a trace:", "torpor invoke NAME");
  const list = h("div", { class: "stack" }, none, rows.node);
  const view = opened({
    back: "#traces", label: "Traces", draw: waterfall,
    fetch: (id) => api.get(`traces/${encodeURIComponent(id)}`),
  });
  let [seen, looks] = [[], ""];
  const looksOf = (id) => JSON.stringify(seen.find((each) => each.traceId === id) ?? "");
  return {
    node: h("div", {}, list, view.node),
    open([id]) {
      shown(list, !id);
      looks = looksOf(id);
      view.open(id ?? null);
    },
    update(snapshot) {
      seen = snapshot.traces;
      shown(none, !seen.length);
      shown(rows.node, seen.length > 0);
      rows.update(seen);
      const mine = looksOf(view.key);
      if (mine !== looks) view.again();
      looks = mine;
    },
    tick: () => rows.update(seen),
  };
}
