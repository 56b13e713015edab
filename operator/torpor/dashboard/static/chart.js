// A line chart of two costs over the number of requests, and where they cross.

import { s } from "./dom.js";
import { count, money } from "./format.js";

const ROOM = { height: 300, left: 62, right: 18, top: 22, bottom: 42, label: 150 };
const WIDTH = { least: 270, most: 640 };
const STEPS = 4;
const ROUND = [1, 2, 2.5, 5, 10];

/** The chart of what `api/cost/compare` told, for a place of so many pixels. */
export function crossoverChart({ curve: points, crossoverRequests, currency }, pixels) {
  const width = Math.min(WIDTH.most, Math.max(WIDTH.least, pixels));
  const most = { x: Math.max(...points.map((point) => point.requests), 1), y: highest(points) };
  const x = (requests) => ROOM.left + (requests / most.x) * (width - ROOM.left - ROOM.right);
  const y = (cost) => ROOM.height - ROOM.bottom - (cost / most.y) * (ROOM.height - ROOM.top - ROOM.bottom);
  const line = (name) => points.map((point, place) => `${place ? "L" : "M"}${x(point.requests).toFixed(1)},${y(point[name]).toFixed(1)}`).join(" ");
  const cross = Number(crossoverRequests);
  const at = cross > 0 && cross <= most.x ? marked(x(cross), y(costAt(points, cross)), cross, x(cross) + ROOM.label > width) : [];
  return s("svg", { class: "chart", role: "img", viewBox: `0 0 ${width} ${ROOM.height}`, "aria-label": told(cross) },
    ...grid(x, y, most, width - ROOM.right, currency),
    s("path", { class: "line serverless", d: line("serverless") }),
    s("path", { class: "line always", d: line("alwaysOn") }), ...at,
    s("text", { class: "axis-name", x: width - ROOM.right, y: ROOM.height - 6, "text-anchor": "end", text: "requests a month" }));
}

const highest = (points) => Math.max(...points.flatMap((point) => [point.serverless, point.alwaysOn])) * 1.05 || 1;

function told(cross) {
  if (!(cross > 0)) return "What requests cost, serverless and always on; the two never cost the same";
  return `What requests cost, serverless and always on; the two cost the same at ${count(cross)} requests a month`;
}

function* grid(x, y, most, right, currency) {
  for (const cost of rounded(most.y)) {
    yield s("path", { class: "grid", d: `M${ROOM.left},${y(cost)} H${right}` });
    yield s("text", { class: "axis-text", x: ROOM.left - 8, y: y(cost) + 4, "text-anchor": "end", text: money(cost, currency) });
  }
  for (const requests of rounded(most.x)) {
    yield s("text", { class: "axis-text", x: x(requests), y: ROOM.height - ROOM.bottom + 18, "text-anchor": "middle", text: count(requests) });
  }
}

/** Round numbers from 0 to at most this, about as many as STEPS. */
function rounded(most) {
  const power = 10 ** Math.floor(Math.log10(most / STEPS));
  const step = power * ROUND.find((each) => each * power >= most / STEPS);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, number) => number * step);
}

function marked(x, y, cross, flip) {
  return [
    s("path", { class: "cross-line", d: `M${x},${y} V${ROOM.height - ROOM.bottom}` }),
    s("circle", { class: "cross", cx: x, cy: y, r: 5 }),
    s("text", { class: "cross-text", x: x + (flip ? -10 : 10), y: y + 22, "text-anchor": flip ? "end" : "start", text: `the same at ${count(cross)}` }),
  ];
}

/** Between two points the lines are straight. */
function costAt(points, requests) {
  const after = Math.max(1, points.findIndex((point) => point.requests >= requests));
  const [low, high] = [points[after - 1], points[after]];
  const share = (requests - low.requests) / (high.requests - low.requests || 1);
  return low.serverless + share * (high.serverless - low.serverless);
}
