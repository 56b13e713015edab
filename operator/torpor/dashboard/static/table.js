// A table whose rows stay the same elements while what they tell changes; on a phone rows are cards.

import { attribute, h, keyed, text } from "./dom.js";

/** A column that shows what `say(item)` returns; `kind` is a class: "number", "name", "wide" … */
export function said(label, say, kind = "") {
  return { label, kind, make: () => {
    const node = h("span");
    return { node, update: (item) => text(node, say(item)) };
  } };
}

/** A column with a link: `say(item)` is its text, `href(item)` its address; without one it is text. */
export function linked(label, say, href, kind = "name") {
  return { label, kind, make: () => {
    const node = h("a");
    return { node, update: (item) => {
      text(node, say(item));
      attribute(node, "href", href(item));
    } };
  } };
}

/** A column of one of `parts.js`; `read(item)` is what it is given. */
export function drawn(label, part, read, kind = "") {
  return { label, kind, make: () => {
    const view = part();
    return { node: view.node, update: (item) => view.update(read(item)) };
  } };
}

/** A table with a name for screen readers; `update(items)`. */
export function table(name, keyOf, columns) {
  const head = h("tr", { role: "row" }, ...columns.map(header));
  const body = h("tbody", { role: "rowgroup" });
  const node = h("table", { role: "table", "aria-label": name },
    h("thead", { role: "rowgroup" }, head), body);
  return { node, update: (items) => keyed(body, items, keyOf, () => row(columns)) };
}

const header = (column) =>
  h("th", { role: "columnheader", scope: "col", class: column.kind, text: column.label });

function row(columns) {
  const views = columns.map((column) => column.make());
  const cells = views.map((view, place) => cell(columns[place], view.node));
  const node = h("tr", { role: "row" }, ...cells);
  return { node, update: (item) => views.forEach((view) => view.update(item)) };
}

const cell = (column, content) =>
  h("td", { role: "cell", class: column.kind, "data-label": column.label }, content);
