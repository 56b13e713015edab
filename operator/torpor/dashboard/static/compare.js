// Serverless or always on: a load that can be changed, what it costs either way, where they cross.

import * as api from "./api.js";
import { crossoverChart } from "./chart.js";
import { h, shown, text } from "./dom.js";
import { count, money } from "./format.js";

const FIELDS = [
  ["requests", "Requests a month", 10_000_000, 0, 1e12],
  ["milliseconds", "Milliseconds each", 200, 1, 900_000],
  ["memoryMib", "Memory, MiB", 256, 1, 1_048_576],
];
const SETTLED_MILLISECONDS = 250;

export function compareView() {
  const inputs = new Map(FIELDS.map((field) => [field[0], input(field)]));
  const form = h("form", { class: "asked", on: { submit: (event) => event.preventDefault(), input: soon } },
    ...FIELDS.map(([name, label]) => h("label", {}, h("span", { text: label }), inputs.get(name))));
  const said = h("p", { class: "verdict", role: "status" });
  const trouble = h("p", { class: "problem", role: "alert", hidden: true });
  const room = h("div", { class: "chart-room" });
  const keys = h("p", { class: "chart-keys" },
    h("span", { class: "key serverless", text: "serverless" }), h("span", { class: "key always", text: "always on" }));
  const node = h("section", { class: "card", "aria-labelledby": "cross" },
    h("h3", { id: "cross", text: "Serverless or always on" }), form, trouble, said, keys, room);
  let [timer, asked] = [0, 0];

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(ask, SETTLED_MILLISECONDS);
  }

  async function ask() {
    if (!form.checkValidity()) return;
    const mine = (asked += 1);
    const query = new URLSearchParams([...inputs].map(([name, field]) => [name, field.value]));
    try {
      const told = await api.get(`cost/compare?${query}`);
      if (mine === asked) show(told);
    } catch (error) {
      text(trouble, error.message);
      shown(trouble, true);
    }
  }

  function show(told) {
    shown(trouble, false);
    text(said, verdict(told, Number(inputs.get("requests").value)));
    room.replaceChildren(crossoverChart(told, room.clientWidth));
  }

  return { node, open: () => asked || ask() };
}

function input([name, , value, min, max]) {
  return h("input", { type: "number", name, value, min, max, step: 1, required: true, inputmode: "numeric" });
}

function verdict(told, requests) {
  const [serverless, always] = [Number(told.serverless), Number(told.alwaysOn)];
  const both = `${count(requests)} requests cost ${money(serverless, told.currency)} serverless and ${money(always, told.currency)} always on`;
  const cross = Number(told.crossoverRequests);
  return cross > 0 ? `${both}; they cost the same at ${count(Math.round(cross))} a month.` : `${both}.`;
}
