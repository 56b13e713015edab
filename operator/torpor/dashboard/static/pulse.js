// The last minutes as a picture: replicas that are ready as an area, requests as a line. The page
// keeps these itself, from the snapshots that it saw.

import { now } from "./clock.js";
import { attribute, h, s, text } from "./dom.js";
import { count, counted, seconds } from "./format.js";

const KEPT_SECONDS = 300;
const LEAST_SECONDS = 30;
const ROOM = { width: 600, height: 96, base: 90 };

export function pulse() {
  const area = s("path", { class: "pulse-area" });
  const top = s("path", { class: "pulse-top" });
  const line = s("path", { class: "pulse-line" });
  const drawing = s("svg", {
    class: "pulse", role: "img", viewBox: `0 0 ${ROOM.width} ${ROOM.height}`, preserveAspectRatio: "none",
  }, area, top, line, s("path", { class: "axis", d: `M0,${ROOM.base} H${ROOM.width}` }));
  const most = h("span", { class: "pulse-most" });
  const title = h("span");
  const node = h("figure", { class: "pulse-room" },
    h("figcaption", {}, title,
      h("span", { class: "pulse-key ready", text: "replicas ready" }),
      h("span", { class: "pulse-key load", text: "requests in hand" }), most), drawing);
  let samples = [];
  return {
    node,
    /** Keep what a snapshot shows; to be called with each, seen or not. */
    keep(snapshot) {
      const sum = (read) => snapshot.functions.reduce((all, each) => all + read(each), 0);
      const load = sum((each) => each.inFlight + each.queued + each.held);
      samples.push({ at: snapshot.at, ready: sum((each) => each.ready), load });
      const oldest = snapshot.at - KEPT_SECONDS;
      while (samples.length > 1 && samples[1].at < oldest) samples.shift();
    },
    /** Nothing is known of the time that comes now. */
    forget() {
      samples = [];
    },
    draw() {
      const end = now();
      const length = Math.min(KEPT_SECONDS, Math.max(LEAST_SECONDS, end - (samples[0]?.at ?? end)));
      const [ready, load] = [steps(samples, "ready", end, length), steps(samples, "load", end, length)];
      text(title, `The last ${seconds(length)}`);
      attribute(area, "d", ready && `${ready} V${ROOM.base} H0 Z`);
      attribute(top, "d", ready);
      attribute(line, "d", load);
      const [highest, busiest] = [largest(samples, "ready"), largest(samples, "load")];
      text(most, `at most ${counted(highest, "replica")}, ${counted(busiest, "request")}`);
      const last = samples.at(-1);
      attribute(drawing, "aria-label", last && `now ${count(last.ready)} replicas ready and ${count(last.load)} requests in hand`);
    },
  };
}

const largest = (samples, name) => Math.max(0, ...samples.map((sample) => sample[name]));

/** Each sample holds until the next one: nothing is sent while nothing changes. */
function steps(samples, name, end, length) {
  if (!samples.length) return null;
  const top = Math.max(1, largest(samples, name));
  const x = (at) => Math.max(0, ROOM.width * (1 - (end - at) / length)).toFixed(1);
  const y = (value) => (ROOM.base - (ROOM.base - 8) * (value / top)).toFixed(1);
  const first = Number(x(samples[0].at)) > 0 ? `M0,${ROOM.base} H${x(samples[0].at)} V` : "M0,";
  const rest = samples.slice(1).map((sample) => `H${x(sample.at)} V${y(sample[name])}`);
  return `${first}${y(samples[0][name])} ${rest.join(" ")} H${ROOM.width}`;
}
