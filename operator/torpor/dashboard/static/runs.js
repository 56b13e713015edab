// Runs of Job Functions: how far they are, how fast, what is left, and what they used.

import { now } from "./clock.js";
import { attribute, h, keyed, property, shown, text } from "./dom.js";
import { ago, count, counted, moment, percent, seconds } from "./format.js";
import { empty, pill } from "./parts.js";

export const runs = {
  id: "runs", title: "Runs", make,
  count: (snapshot) => snapshot.runs.length,
  wrong: (snapshot) => snapshot.runs.some((each) => each.state === "Failed"),
};

function make() {
  const none = empty("No runs", "A call of a Function with workload: Job is a run:", "torpor invoke NAME -d '{}'");
  const list = h("ul", { class: "runs", "aria-label": "Runs" });
  return {
    node: h("div", {}, none, list),
    update(snapshot) {
      shown(none, !snapshot.runs.length);
      keyed(list, snapshot.runs, (each) => `${each.namespace}/${each.id}`, runView);
    },
  };
}

function runView() {
  const [id, about, facts, why] = [h("b"), h("span", { class: "place-of" }), h("span", { class: "note" }), h("p", { class: "reason" })];
  const status = pill();
  const trace = h("a", { text: "trace" });
  const bar = progressBar();
  const node = h("li", { class: "card run" },
    h("div", { class: "run-head" }, id, about, status.node, trace), bar.node, facts, why);
  return {
    node,
    update(run) {
      text(id, run.id);
      text(about, `${run.namespace}/${run.function}`);
      status.update(run.state);
      attribute(node, "data-state", run.state.toLowerCase());
      shown(trace, Boolean(run.traceId));
      attribute(trace, "href", `#traces/${run.traceId}`);
      bar.update(run);
      text(facts, factsOf(run));
      text(why, [run.reason, run.message].filter(Boolean).join(": "));
    },
  };
}

function progressBar() {
  const fill = h("span", { class: "progress-fill" });
  const track = h("span", { class: "progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const said = h("b", { class: "progress-said" });
  const node = h("div", { class: "progress-row" }, track, said);
  return {
    node,
    update(run) {
      const ratio = ratioOf(run);
      shown(node, ratio !== null || run.state === "Running");
      property(fill, "--width", `${100 * (ratio ?? 0)}%`);
      attribute(track, "aria-label", `Progress of ${run.id}`);
      attribute(track, "aria-valuenow", ratio === null ? null : Math.round(100 * ratio));
      attribute(track, "data-unknown", ratio === null && run.state === "Running");
      text(said, ratio === null ? "" : percent(ratio));
    },
  };
}

function ratioOf(run) {
  if (run.state === "Succeeded") return 1;
  if (run.progress?.ratio !== null && run.progress?.ratio !== undefined) return run.progress.ratio;
  const { succeeded, total } = run.indexes ?? {};
  return total > 1 ? succeeded / total : null;
}

function factsOf(run) {
  const [progress, indexes] = [run.progress, run.indexes];
  const started = moment(run.started);
  const running = run.state === "Running";
  const facts = [
    progress?.total && `${count(progress.done)} of ${count(progress.total)} ${progress.unit ?? ""}`.trim(),
    running && progress?.speed && `${count(progress.speed)} ${progress.unit ?? ""} a second`.replace("  ", " "),
    running && progress?.leftSeconds && `${seconds(progress.leftSeconds)} left`,
    progress?.message,
    indexes?.total > 1 && `${indexes.succeeded} of ${counted(indexes.total, "index", "indexes")} done`,
    `attempt ${run.attempt}`,
    run.podSeconds > 0 && `${seconds(run.podSeconds)} of pods`,
    started && `started ${ago(started, now())}`,
    started && moment(run.finished) && `took ${seconds(moment(run.finished) - started)}`,
  ];
  return facts.filter(Boolean).join(" · ");
}
