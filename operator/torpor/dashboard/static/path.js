// Draws how events flow: what Triggers listen to, what they reach, and how each of these is now.

import { curve, curveAcross } from "./curve.js";
import { attribute, h, keyed, s, text } from "./dom.js";
import { count, shortened } from "./format.js";
import { layOut } from "./layout.js";
import { fails } from "./trouble.js";

const BOX = { height: 46, least: 134, most: 190, letter: 7.6, note: 6.2, padding: 46, gap: 44 };
const NARROW = 720;
const LONGEST_NOTE = 14;

/** The drawings, one for each part that hangs together; `update(snapshot)` lays out what is new. */
export function pathDrawing() {
  const node = h("div", { class: "path-room" });
  return {
    node,
    update(snapshot) {
      const narrow = node.clientWidth > 0 && node.clientWidth < NARROW;
      const shapeOf = (flow) => JSON.stringify([narrow, [...flow.places.keys()], flow.links.map((link) => [link.source, link.target])]);
      keyed(node, together(flowOf(snapshot)), shapeOf, (flow) => made(flow, narrow));
    },
  };
}

/** The parts of a flow between which nothing leads, in the order of their Triggers. Pure. */
function together({ places, links }) {
  const part = new Map([...places.keys()].map((id) => [id, id]));
  for (const { source, target } of links) {
    const [from, to] = [part.get(source), part.get(target)];
    part.forEach((found, id) => found === from && part.set(id, to));
  }
  const inside = (name) => ({
    places: new Map([...places].filter(([id]) => part.get(id) === name)),
    links: links.filter((link) => part.get(link.source) === name),
  });
  return [...new Set(part.values())].map(inside);
}

/** What there is to draw: places by id with what they say, and links between them. Pure. */
function flowOf(snapshot) {
  const places = new Map();
  const links = new Map();
  const seen = (namespace, name) => {
    const id = `${namespace}:${name}`;
    const [kind, rest] = splitAt(name, "/");
    if (!places.has(id)) places.set(id, { id, kind, name: rest, ...standing(snapshot, namespace, kind, rest) });
    return id;
  };
  for (const trigger of snapshot.triggers) {
    const [source, target] = [seen(trigger.namespace, trigger.source), seen(trigger.namespace, trigger.target)];
    const link = links.get(`${source} ${target}`) ?? { source, target, lag: 0, waiting: 0, dead: 0, wrong: false, name: trigger.name };
    link.lag += trigger.lag ?? 0;
    link.waiting += trigger.waiting ?? 0;
    link.dead += trigger.deadLetters ?? 0;
    link.wrong ||= fails(trigger);
    links.set(`${source} ${target}`, link);
  }
  return { places, links: [...links.values()] };
}

function splitAt(value, mark) {
  const at = value.indexOf(mark);
  return at < 0 ? [value, value] : [value.slice(0, at), value.slice(at + 1)];
}

function standing(snapshot, namespace, kind, name) {
  if (kind === "function") {
    const found = snapshot.functions.find((each) => each.namespace === namespace && each.name === name);
    if (!found) return { state: "missing", note: "not there", href: "#functions" };
    return { state: found.state, note: replicas(found), href: "#functions" };
  }
  if (kind === "workflow") {
    const running = snapshot.executions.filter((each) => each.workflow.split("/").at(-1) === name && each.status === "RUNNING");
    return { state: running.length ? "ready" : "zero", note: progress(running), href: "#executions" };
  }
  return { state: "place", note: kind, href: kind === "bus" ? "#bus" : "#triggers" };
}

/** Where a single execution is, else how many there are. */
function progress(running) {
  if (running.length === 1 && running[0].states.length) return shortened(running[0].states.join(", "), LONGEST_NOTE);
  return running.length ? `${running.length} running` : "quiet";
}

const replicas = (found) =>
  found.state === "job" ? "job" : found.replicas ? `${found.ready} of ${found.replicas} ready` : "asleep";

function made(flow, narrow) {
  const width = narrow ? BOX.least : widest(flow.places);
  // Layers are columns where there is room: the layout's own direction is down, so sizes are turned.
  const size = narrow ? { width, height: BOX.height } : { width: BOX.height, height: width + BOX.gap };
  const sizes = new Map([...flow.places.keys()].map((id) => [id, size]));
  const laid = layOut(sizes, flow.links.map((link) => ({ ...link, label: null })));
  const at = (box) => (narrow ? box : { x: box.y, y: box.x, width: box.height, height: box.width });
  const [wide, high] = narrow ? [laid.width, laid.height] : [laid.height - BOX.gap, laid.width];
  const edges = flow.links.map((link, number) => edge(laid.routes[number].map(at), narrow));
  const boxes = new Map([...flow.places].map(([id, place]) => [id, box(place, at(laid.places.get(id)), width, narrow)]));
  const node = s("svg", {
    class: "path", role: "group", "aria-label": "How events flow", width: wide + 4, height: high + 4,
    viewBox: `-2 -2 ${wide + 4} ${high + 4}`,
  }, ...edges.map((each) => each.node), ...[...boxes.values()].map((each) => each.node));
  return {
    node,
    update(now) {
      now.places.forEach((place, id) => boxes.get(id).update(place));
      now.links.forEach((link, number) => edges[number].update(link));
    },
  };
}

/** All boxes of a part are as wide as the widest needs, so that they stand in columns. */
function widest(places) {
  const needs = [...places.values()].map((place) =>
    BOX.padding + Math.max(place.name.length * BOX.letter, (place.kind.length + 16) * BOX.note));
  return Math.min(BOX.most, Math.max(BOX.least, ...needs));
}

function edge(boxes, narrow) {
  const line = s("path", { class: "flow", d: narrow ? curve(boxes) : curveAcross(shrunk(boxes)) });
  const [one, other] = [boxes[0], boxes[1]];
  const x = narrow ? (one.x + other.x + one.width / 2 + other.width / 2) / 2 : (one.x + one.width + other.x - BOX.gap) / 2;
  const y = narrow ? (one.y + one.height + other.y) / 2 : (one.y + other.y + one.height / 2 + other.height / 2) / 2;
  const at = narrow ? { x: x + 8, y: y + 4, "text-anchor": "start" } : { x, y: y - 6, "text-anchor": "middle" };
  const said = s("text", { class: "flow-note", ...at });
  const node = s("g", {}, line, said);
  return {
    node,
    update(link) {
      attribute(node, "data-state", link.wrong || link.dead ? "wrong" : link.waiting || link.lag ? "busy" : "quiet");
      const facts = [link.lag && `${count(link.lag)} waiting`, link.dead && `${count(link.dead)} dead`];
      text(said, facts.filter(Boolean).join(", "));
    },
  };
}

/** Boxes across are drawn narrower than their columns: that is the room between two of them. */
const shrunk = (boxes) => boxes.map((box) => ({ ...box, width: Math.max(0, box.width - BOX.gap) }));

function box(place, { x, y }, width, narrow) {
  const note = s("text", { class: "place-note", x: 30, y: 35 });
  const node = s("a", { class: "place-box", href: place.href, transform: `translate(${x} ${y})` },
    s("title", { text: `${place.kind} ${place.name}` }),
    s("rect", { width, height: BOX.height, rx: 10 }),
    s("circle", { class: "lamp", cx: 16, cy: 23, r: 5 }),
    s("text", { class: "place-name", x: 30, y: 19, text: shortened(place.name, Math.floor((width - BOX.padding) / BOX.letter) + 1) }), note);
  return {
    node,
    update(now) {
      attribute(node, "data-state", now.state);
      attribute(node, "data-kind", now.kind);
      text(note, narrow || now.state === "place" ? now.note : `${now.kind} · ${now.note}`);
    },
  };
}
