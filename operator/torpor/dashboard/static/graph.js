// Draws the graph of an execution: states as boxes in the colour of how they stand, Parallel and
// Map as boxes around graphs of their own. It is laid out once; then only what states say changes.

import { curve } from "./curve.js";
import { attribute, property, s, text } from "./dom.js";
import { counted, seconds, shortened } from "./format.js";
import { layOut } from "./layout.js";

const NODE = { height: 44, least: 124, group: 176, letter: 7.3, padding: 30, longest: 30 };
const LABEL = { height: 18, letter: 6.1, longest: 34 };
const INSIDE = { side: 16, top: 46, bottom: 14, gap: 18 };
const END = { width: 16, height: 16 };
const WORDS = { waiting: "not reached", running: "runs", succeeded: "done", failed: "failed", caught: "caught" };

/** The drawing of a graph; `update(graph)` takes the same graph with other states. */
export function graphDrawing(graph) {
  const block = measured(graph);
  const views = new Map();
  const node = s("svg", {
    class: "graph", role: "img", width: block.width + 40, height: block.height + 20,
    viewBox: `-20 -10 ${block.width + 40} ${block.height + 20}`,
  }, arrowHead());
  property(node, "--natural", `${block.width + 40}px`); // it shrinks a little before it is scrolled
  drawBlock(node, block, 0, 0, views);
  const update = (now) => {
    const all = [...flat(now)];
    all.forEach((state) => views.get(state.id)?.(state));
    attribute(node, "aria-label", all.map((state) => `${state.name}: ${WORDS[state.status] ?? state.status}`).join(", "));
  };
  update(graph);
  return { node, update };
}

function* flat(graph) {
  for (const state of graph.nodes) {
    yield state;
    for (const block of state.blocks ?? []) yield* flat(block);
  }
}

/** Sizes and places of a block, and of the blocks inside. */
function measured(graph) {
  const inner = new Map();
  const sizes = new Map();
  if (graph.start) sizes.set("\0start", END);
  for (const state of graph.nodes) {
    inner.set(state.id, (state.blocks ?? []).map(measured));
    sizes.set(state.id, sizeOf(state, inner.get(state.id)));
  }
  const links = graph.edges.map((edge) => ({ ...edge, label: labelSize(edge.label) }));
  if (graph.start) links.push({ source: "\0start", target: graph.start, label: null, way: "next" });
  const ending = graph.nodes.filter((state) => state.ends);
  if (ending.length) sizes.set("\0end", END);
  ending.forEach((state) => links.push({ source: state.id, target: "\0end", label: null, way: "next" }));
  const laid = layOut(sizes, links, graph.start ? "\0start" : undefined);
  return { graph, inner, links, texts: graph.edges.map((edge) => edge.label), ...laid };
}

function sizeOf(state, blocks) {
  const name = Math.min(state.name.length, NODE.longest) * NODE.letter + NODE.padding;
  const own = Math.max(NODE.least, name);
  if (!blocks.length) return { width: own, height: NODE.height };
  const inside = blocks.reduce((sum, block) => sum + block.width, (blocks.length - 1) * INSIDE.gap);
  const tallest = Math.max(...blocks.map((block) => block.height));
  return { width: Math.max(own, NODE.group, inside + 2 * INSIDE.side), height: INSIDE.top + tallest + INSIDE.bottom };
}

const labelSize = (label) =>
  label ? { width: Math.min(label.length, LABEL.longest) * LABEL.letter + 8, height: LABEL.height } : null;

function drawBlock(parent, block, x, y, views) {
  const here = s("g", { transform: `translate(${x} ${y})` });
  parent.append(here);
  block.links.forEach((link, number) => {
    const route = block.routes[number];
    here.append(s("path", { class: `edge ${link.way}`, d: curve(route), "marker-end": "url(#arrow)" }));
    if (link.label) here.append(label(block.texts[number], route[1]));
  });
  for (const id of ["\0start", "\0end"]) if (block.places.has(id)) here.append(terminal(block.places.get(id), id));
  for (const state of block.graph.nodes) {
    const place = block.places.get(state.id);
    const blocks = block.inner.get(state.id);
    here.append(box(state, place, blocks.length > 0, views));
    const inside = blocks.reduce((sum, each) => sum + each.width, (blocks.length - 1) * INSIDE.gap);
    let left = place.x + (place.width - inside) / 2;
    for (const each of blocks) {
      drawBlock(here, each, left, place.y + INSIDE.top, views);
      left += each.width + INSIDE.gap;
    }
  }
}

function box(state, { x, y, width, height }, group, views) {
  const name = s("text", { class: "node-name", x: width / 2, y: 19, text: shortened(state.name, NODE.longest) });
  const note = s("text", { class: "node-note", x: width / 2, y: 35 });
  const told = s("title");
  const round = { Wait: 22, Succeed: 22, Fail: 22, Task: 6 }[state.kind] ?? 12;
  const shape = state.kind === "Choice" && !group
    ? s("polygon", { class: "shape", points: hexagon(width, height) })
    : s("rect", { class: "shape", width, height, rx: group ? 12 : round });
  const node = s("g", { class: group ? "node group" : "node", transform: `translate(${x} ${y})` }, told, shape, name, note);
  views.set(state.id, (now) => {
    attribute(node, "data-status", now.status);
    text(note, noteOf(now));
    text(told, `${now.name}: ${now.kind}, ${WORDS[now.status] ?? now.status}`);
  });
  return node;
}

function noteOf(state) {
  const facts = [state.kind];
  if (state.items) facts.push(`${state.items.succeeded} of ${counted(state.items.total, "item")}`);
  if (state.tries > 1) facts.push(`try ${state.tries}`);
  else if (state.entered > 1) facts.push(`${state.entered} ×`);
  if (state.status === "running") facts.push("runs");
  else if (state.seconds !== null && state.seconds !== undefined) facts.push(seconds(state.seconds));
  return facts.join(" · ");
}

function hexagon(width, height) {
  const [right, middle] = [width - 14, height / 2];
  return `14,0 ${right},0 ${width},${middle} ${right},${height} 14,${height} 0,${middle}`;
}

function terminal({ x, y, width }, id) {
  const radius = width / 2 - 1;
  return s("circle", { class: id === "\0start" ? "terminal" : "terminal end", cx: x + width / 2, cy: y + width / 2, r: radius });
}

function label(said, place) {
  return s("g", { class: "edge-label" },
    s("title", { text: said }),
    s("rect", { ...place, rx: 4 }),
    s("text", { x: place.x + place.width / 2, y: place.y + 13, text: shortened(said, LABEL.longest) }));
}

function arrowHead() {
  const tip = s("path", { d: "M0,0 L8,4 L0,8 Z", class: "arrow" });
  return s("defs", {}, s("marker", {
    id: "arrow", viewBox: "0 0 8 8", refX: 7.5, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse",
  }, tip));
}
