// A trace as a waterfall: rows indented as the calls were, bars on one scale of time. Rows fold.

import { attribute, h, keyed, property, shown, text } from "./dom.js";
import { counted, seconds } from "./format.js";
import { tipped } from "./tip.js";

const COLOURS = 6;
const TICKS = 4;
const DEEPEST = 12;

/** A view of what `api/traces/ID` told. */
export function waterfall() {
  const title = h("h3");
  const about = h("span", { class: "note" });
  const warning = h("p", { class: "note" });
  const ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  const list = h("ul", { class: "spans", role: "tree", "aria-label": "Spans" });
  const folded = new Set();
  const node = h("div", { class: "stack" }, h("header", { class: "detail-head" }, title, about), warning,
    h("div", { class: "card waterfall" }, h("div", { class: "ticks-row" }, h("span"), ticks), list));
  let last = null;
  const fold = (id) => {
    folded[folded.has(id) ? "delete" : "add"](id);
    update(last);
  };
  function update(trace) {
    last = trace;
    text(title, trace.name);
    text(about, `${trace.traceId} · ${seconds(trace.seconds)} · ${counted(trace.spans, "span")}`);
    text(warning, warningOf(trace));
    shown(warning, trace.orphans > 0 || trace.dropped > 0);
    keyed(ticks, Array.from({ length: TICKS + 1 }, (_, at) => ({ at, trace })), (each) => each.at, tick);
    keyed(list, [...rowsOf(trace, folded)], (row) => row.span.spanId, () => spanRow(fold));
  }
  return { node, update };
}

function warningOf({ orphans, dropped }) {
  const torn = orphans > 0 && `${counted(orphans, "span is", "spans are")} below one that has not ended, or is not known: they stand last`;
  const full = dropped > 0 && `${counted(dropped, "span was", "spans were")} left out: a trace keeps only so many`;
  return [torn, full].filter(Boolean).join("; ");
}

/** The rows that are to be seen, in order, each with its place in the trace. */
function* rowsOf(trace, folded) {
  const services = new Map();
  const length = Math.max(trace.seconds, 1e-6);
  let hidden = Infinity;
  for (const [number, span] of trace.tree.entries()) {
    if (!services.has(span.service)) services.set(span.service, services.size % COLOURS);
    if (span.depth > hidden) continue;
    const open = !folded.has(span.spanId);
    hidden = open ? Infinity : span.depth;
    const parent = (trace.tree[number + 1]?.depth ?? 0) > span.depth;
    const place = { left: (span.startedAt - trace.startedAt) / length, width: span.seconds / length };
    yield { span, parent, open, place, colour: services.get(span.service) };
  }
}

function tick() {
  const node = h("span");
  return { node, update: ({ at, trace }) => text(node, seconds((trace.seconds * at) / TICKS)) };
}

function spanRow(fold) {
  const [name, service, took] = [h("b"), h("span", { class: "service" }), h("span", { class: "took" })];
  const button = h("button", { type: "button", class: "fold" });
  const track = h("span", { class: "span-track" }, h("span", { class: "span-bar" }));
  const node = h("li", { role: "treeitem", tabindex: "0", class: "span-row" },
    h("span", { class: "span-name" }, button, h("i", { class: "swatch" }), name, service),
    track, took);
  let id = "";
  button.addEventListener("click", () => fold(id));
  node.addEventListener("keydown", (event) => walked(event, node, () => fold(id)));
  return {
    node,
    update({ span, parent, open, place, colour }) {
      id = span.spanId;
      text(name, span.name);
      text(service, span.service === span.name ? "" : span.service.replace(/^torpor-/, ""));
      text(took, seconds(span.seconds));
      attribute(node, "aria-level", span.depth + 1);
      attribute(node, "aria-expanded", parent ? String(open) : null);
      attribute(node, "data-error", Boolean(span.error));
      attribute(node, "data-colour", colour);
      attribute(button, "aria-label", `${open ? "Fold" : "Unfold"} ${span.name}`);
      text(button, open ? "▾" : "▸");
      shown(button, parent);
      property(node, "--depth", Math.min(span.depth, DEEPEST));
      const left = Math.min(0.998, Math.max(0, place.left));
      property(track, "--left", `${100 * left}%`);
      property(track, "--width", `${100 * Math.min(1 - left, place.width)}%`);
      tipped(node, tipOf(span));
    },
  };
}

function walked(event, node, fold) {
  const expanded = node.getAttribute("aria-expanded");
  if (event.key === "ArrowDown") node.nextElementSibling?.focus();
  else if (event.key === "ArrowUp") node.previousElementSibling?.focus();
  else if (event.key === "ArrowLeft" && expanded === "true") fold();
  else if (event.key === "ArrowRight" && expanded === "false") fold();
  else return;
  event.preventDefault();
}

const MOST_FACTS = 14;

function tipOf(span) {
  const attributes = Object.entries(span.attributes ?? {}).slice(0, MOST_FACTS);
  const facts = attributes.map(([name, value]) => [name, String(value), ""]);
  const error = span.error ? [["error", span.error, ""]] : [];
  return [[span.service, seconds(span.seconds), ""], ...error, ...facts];
}
