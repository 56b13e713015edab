// Makes and changes elements: text only ever as text, and no write where nothing changed.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `given` has attributes, `text`, and `on` with listeners. */
export function h(tag, given = {}, ...children) {
  return furnish(document.createElement(tag), given, children);
}

/** An SVG element, furnished like `h`. */
export function s(tag, given = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), given, children);
}

function furnish(node, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name === "on") Object.entries(value).forEach(([type, call]) => node.addEventListener(type, call));
    else if (name === "text") node.textContent = value;
    else attribute(node, name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Set or (null, undefined, false) remove an attribute. */
export function attribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function text(node, value) {
  const wanted = String(value ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function shown(node, wanted) {
  if (node.hidden === wanted) node.hidden = !wanted;
}

/** One of the custom properties that style sheets read. */
export function property(node, name, value) {
  if (node.style.getPropertyValue(name) !== String(value)) node.style.setProperty(name, value);
}

const kept = new WeakMap();

/**
 * Give `parent` one child for each item, in their order: `make(item)` returns `{node, update(item)}`
 * once for a new key, `update` is called with each later item of the key. What stays is not moved,
 * so that focus and selection stay too.
 */
export function keyed(parent, items, keyOf, make) {
  const before = kept.get(parent) ?? new Map();
  const views = new Map();
  for (const item of items) {
    const key = String(keyOf(item));
    if (!views.has(key)) views.set(key, [before.get(key), item]);
  }
  for (const [key, view] of before) if (!views.has(key)) view.node.remove();
  let cursor = parent.firstChild;
  const after = new Map();
  for (const [key, [known, item]] of views) {
    const view = known ?? make(item);
    view.update?.(item);
    if (view.node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(view.node, cursor);
    after.set(key, view);
  }
  kept.set(parent, after);
}
