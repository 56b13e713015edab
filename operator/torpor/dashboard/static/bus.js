// Events of the buses as they come, the newest first.

import { now } from "./clock.js";
import { h, shown } from "./dom.js";
import { ago } from "./format.js";
import { empty } from "./parts.js";
import { linked, said, table } from "./table.js";

export const bus = { id: "bus", title: "Bus", make, count: (snapshot) => snapshot.bus.length };

function make() {
  const rows = table("Events", (each) => `${each.bus} ${each.source} ${each.id}`, [
    said("When", (each) => ago(each.time, now()), "number"),
    said("Bus", (each) => each.bus),
    said("Type", (each) => each.type, "name"),
    said("Subject", (each) => each.subject ?? ""),
    said("Source", (each) => each.source, "mono clipped"),
    said("Id", (each) => each.id, "mono clipped"),
    linked("Trace", (each) => (each.traceId ?? "").slice(0, 8), (each) => each.traceId && `#traces/${each.traceId}`, "mono"),
  ]);
  const none = empty("No events", "Publish one:", `torpor publish shop --type order.placed --data '{"total": 250}'`);
  let seen = [];
  return {
    node: h("div", {}, none, rows.node),
    update(snapshot) {
      seen = snapshot.bus;
      shown(none, !seen.length);
      shown(rows.node, seen.length > 0);
      rows.update(seen);
    },
    tick: () => rows.update(seen),
  };
}
