// The whole at a glance: what is wrong, how events flow, who is awake, and what it costs.

import { h, keyed, shown, text } from "./dom.js";
import { count, counted, money } from "./format.js";
import { dots, empty, tile } from "./parts.js";
import { pathDrawing } from "./path.js";
import { pulse } from "./pulse.js";
import { gravest, troubles } from "./trouble.js";

export const overview = { id: "overview", title: "Overview", count: () => null, make };

function make() {
  const tiles = tileRow();
  const wrong = wrongList();
  const path = pathDrawing();
  const beat = pulse();
  const hive = sleepers();
  const start = empty("Nothing is applied yet", "An example with a Function, and what it did, in a quarter of a minute:", "torpor dev examples/hello --demo");
  const flow = h("section", { class: "card", "aria-labelledby": "flow" }, h("h3", { id: "flow", text: "How events flow" }), path.node);
  const awake = h("section", { class: "card", "aria-labelledby": "awake" }, h("h3", { id: "awake", text: "Awake and asleep" }), hive.node);
  const node = h("div", { class: "stack" }, start, tiles.node, wrong.node, beat.node, flow, awake);
  return {
    node,
    keep: beat.keep,
    forget: beat.forget,
    tick: beat.draw,
    update(snapshot) {
      const some = snapshot.functions.length + snapshot.triggers.length + snapshot.executions.length > 0;
      shown(start, !some);
      shown(flow, snapshot.triggers.length > 0);
      shown(awake, snapshot.functions.length > 0);
      tiles.update(snapshot);
      wrong.update(snapshot);
      hive.update(snapshot.functions);
      beat.draw();
      if (snapshot.triggers.length) path.update(snapshot);
    },
  };
}

function tileRow() {
  const of = {
    functions: tile("Functions", "#functions"), requests: tile("Requests in hand", "#functions"),
    executions: tile("Executions", "#executions"), runs: tile("Runs", "#runs"),
    lag: tile("Events waiting", "#triggers"), cost: tile("Cost a month", "#cost"),
  };
  const sum = (items, read) => items.reduce((all, item) => all + (read(item) ?? 0), 0);
  return {
    node: h("div", { class: "tiles" }, ...Object.values(of).map((each) => each.node)),
    update({ functions, executions, runs, triggers, cost }) {
      const awake = functions.filter((each) => each.replicas > 0).length;
      of.functions.update(`${awake} awake`, `${functions.length - awake} asleep`);
      const held = sum(functions, (each) => each.held + each.queued);
      of.requests.update(count(sum(functions, (each) => each.inFlight) + held), `${count(held)} held or queued`);
      const running = executions.filter((each) => each.status === "RUNNING").length;
      const failed = executions.filter((each) => ["FAILED", "TIMED_OUT"].includes(each.status)).length;
      of.executions.update(`${running} running`, failed ? `${failed} of ${executions.length} failed` : "none failed", failed > 0);
      const active = runs.filter((each) => ["Pending", "Running"].includes(each.state)).length;
      const lost = runs.filter((each) => each.state === "Failed").length;
      of.runs.update(`${active} running`, lost ? `${lost} failed` : counted(runs.length, "run") + " seen", lost > 0);
      const dead = sum(triggers, (each) => each.deadLetters);
      of.lag.update(count(sum(triggers, (each) => each.lag)), counted(dead, "dead letter"), dead > 0);
      of.cost.update(cost ? money(cost.month, cost.currency) : "–", cost ? `${money(cost.now, cost.currency)} so far` : "not known here");
    },
  };
}

function wrongList() {
  const list = h("ul", { class: "wrong-list" });
  const more = h("p", { class: "note" });
  const fine = h("p", { class: "fine", text: "Nothing is wrong." });
  const node = h("section", { class: "card wrong", "aria-labelledby": "wrong" },
    h("h3", { id: "wrong", text: "What is wrong" }), fine, list, more);
  return {
    node,
    update(snapshot) {
      const all = gravest(troubles(snapshot));
      shown(fine, !all.shown.length);
      shown(more, all.more > 0);
      text(more, `and ${all.more} more`);
      keyed(list, all.shown, (each) => each.key, wrongRow);
    },
  };
}

function wrongRow() {
  const what = h("a");
  const why = h("span");
  return {
    node: h("li", {}, what, why),
    update(each) {
      text(what, each.what);
      what.href = each.href;
      text(why, each.why);
    },
  };
}

/** Every Function as its dots and its name: at a glance, who sleeps. */
function sleepers() {
  const node = h("ul", { class: "sleepers" });
  return { node, update: (functions) => keyed(node, functions, (each) => `${each.namespace}/${each.name}`, sleeper) };
}

function sleeper() {
  const replicas = dots();
  const name = h("span");
  const node = h("li", {}, replicas.node, name);
  return {
    node,
    update(each) {
      node.dataset.state = each.state;
      replicas.update(each);
      text(name, each.name);
    },
  };
}
