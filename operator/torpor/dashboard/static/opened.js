// What is asked for when something is opened: fetched, shown, fetched again as long as it changes,
// and left alone when it is closed. Every detail of a section stands in one of these.

import { attribute, h, shown, text } from "./dom.js";

/**
 * A place for details. `fetch(key)` gets them, `draw(told, key)` returns a view of them with
 * `{node, update(told)}`; `back` is the section's address.
 */
export function opened({ back, label, fetch, draw }) {
  const trouble = h("p", { class: "problem", role: "alert", hidden: true });
  const room = h("div", { class: "stack" });
  const node = h("div", { class: "stack detail", hidden: true },
    h("p", {}, h("a", { class: "back", href: back, text: `← ${label}` })), trouble, room);
  let [key, view, busy, again] = [null, null, false, false];

  async function load() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const asked = key;
    try {
      const told = await fetch(asked);
      if (asked === key) show(told);
    } catch (error) {
      if (asked === key) fail(error);
    } finally {
      busy = false;
      attribute(node, "aria-busy", null);
    }
    if (again) {
      again = false;
      if (key !== null) load();
    }
  }

  function show(told) {
    shown(trouble, false);
    if (view) {
      view.update(told);
      return;
    }
    view = draw(told, key);
    room.replaceChildren(view.node);
    view.update(told);
  }

  function fail(error) {
    text(trouble, error.message);
    shown(trouble, true);
  }

  return {
    node,
    get key() {
      return key;
    },
    open(wanted) {
      if (wanted === key) return;
      key = wanted;
      view = null;
      room.replaceChildren();
      shown(trouble, false);
      shown(node, key !== null);
      if (key === null) return;
      attribute(node, "aria-busy", "true");
      load();
    },
    again: () => key !== null && load(),
  };
}
