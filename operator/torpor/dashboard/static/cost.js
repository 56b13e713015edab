// What all of it costs: now and by month, where the money went, and against servers always on.

import { compareView } from "./compare.js";
import { h, shown, text } from "./dom.js";
import { money, seconds } from "./format.js";
import { now } from "./clock.js";
import { empty, legend, stackedBar, tile } from "./parts.js";
import { drawn, said, table } from "./table.js";

const PARTS = ["useful", "start", "idle", "redone", "requests", "provisioned", "transitions", "express", "expressMemory"];

export const cost = { id: "cost", title: "Cost", make, count: () => null };

function make() {
  const of = { now: tile("So far", "#cost"), month: tile("A month at this rate", "#cost"), always: tile("A month always on", "#cost") };
  const tiles = h("div", { class: "tiles" }, ...Object.values(of).map((each) => each.node));
  const whole = stackedBar();
  const keys = legend(PARTS);
  const split = h("section", { class: "card", "aria-labelledby": "split" }, h("h3", { id: "split", text: "Where it went" }), keys, whole.node);
  let [scale, currency] = [0, "USD"];
  const rows = table("Cost by item", (item) => `${item.kind} ${item.name}`, [
    said("Item", (item) => item.name, "name"),
    said("Kind", (item) => item.kind),
    said("Amount", (item) => money(item.amount, currency), "number"),
    drawn("Split", stackedBar, (item) => barOf(item.name, partsOf([item]), scale, currency), "wide bars-cell"),
  ]);
  const none = empty("Nothing to bill yet", "Call a Function, and see what it cost:", "torpor cost");
  const since = h("p", { class: "note" });
  const comparison = compareView();
  const bill = h("div", { class: "stack" }, tiles, since, split, rows.node);
  return {
    node: h("div", { class: "stack" }, none, bill, comparison.node),
    open: () => comparison.open(),
    update(snapshot) {
      const told = snapshot.cost;
      shown(none, !told);
      shown(bill, Boolean(told));
      if (!told) return;
      currency = told.currency;
      scale = Math.max(...told.items.map((item) => sum(partsOf([item]))), 0);
      of.now.update(money(told.now, currency), `in ${seconds(Math.max(1, Math.round(now() - told.since)))}`);
      of.month.update(money(told.month, currency), told.table);
      of.always.update(money(told.alwaysOn, currency), "without scaling to zero");
      text(since, `Prices: ${told.table}. Counted since ${new Date(told.since * 1000).toLocaleString("en-GB")}.`);
      const parts = partsOf(told.items);
      shown(split, sum(parts) > 0);
      whole.update(barOf("All", parts, 0, currency));
      [...keys.children].forEach((key, place) => shown(key, parts[place]?.[1] > 0));
      shown(rows.node, told.items.length > 0);
      rows.update(told.items);
    },
  };
}

const partsOf = (items) =>
  PARTS.map((name) => [name, items.reduce((all, item) => all + Number(item.parts?.[name] ?? 0), 0)]);

const sum = (parts) => parts.reduce((all, [, value]) => all + value, 0);

const barOf = (label, parts, scale, currency) => ({ parts, scale, label, say: (value) => money(value, currency) });
