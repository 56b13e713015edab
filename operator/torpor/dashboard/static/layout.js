// Where nodes and edges of a graph go: a layered layout (Sugiyama, Tagawa, Toda 1981); pure.

const GAP = { layer: 30, node: 22, point: 10 };
const SWEEPS = 8;

/**
 * Lay out from top to bottom. `sizes` maps ids to {width, height}; links are {source, target,
 * label: {width, height} or null}. Returns {places, routes, width, height}: places by id, and of
 * each link the boxes that it passes; its label's box is the second.
 */
export function layOut(sizes, links, first) {
  const back = backward(sizes, links, first);
  const turned = links.map((link) =>
    back.has(link) ? { ...link, source: link.target, target: link.source } : link);
  const ranks = ranked(sizes, turned);
  const layers = layered(sizes, turned, ranks);
  ordered(layers);
  const places = placed(layers);
  const routes = layers.chains.map((chain, number) => {
    const boxes = chain.map((id) => places.get(id));
    return back.has(links[number]) ? boxes.reverse() : boxes;
  });
  const boxes = [...places.values()];
  const width = Math.max(0, ...boxes.map((box) => box.x + box.width));
  const height = Math.max(0, ...boxes.map((box) => box.y + box.height));
  return { places, routes, width, height };
}

/** The links that close a cycle on a walk in depth from `first`. */
function backward(sizes, links, first) {
  const back = new Set();
  const state = new Map();
  const visit = (id) => {
    state.set(id, "open");
    for (const link of links.filter((each) => each.source === id)) {
      if (state.get(link.target) === "open") back.add(link);
      else if (!state.has(link.target)) visit(link.target);
    }
    state.set(id, "done");
  };
  const roots = first === undefined ? sizes.keys() : [first, ...sizes.keys()];
  for (const id of roots) if (!state.has(id)) visit(id);
  return back;
}

/** The longest way to each node; a link with a label is two layers long. */
function ranked(sizes, links) {
  const ranks = new Map([...sizes.keys()].map((id) => [id, 0]));
  const waiting = new Map([...sizes.keys()].map((id) => [id, 0]));
  const real = links.filter((link) => link.source !== link.target);
  real.forEach((link) => waiting.set(link.target, waiting.get(link.target) + 1));
  const ready = [...sizes.keys()].filter((id) => !waiting.get(id));
  while (ready.length) {
    const id = ready.pop();
    for (const link of real.filter((each) => each.source === id)) {
      ranks.set(link.target, Math.max(ranks.get(link.target), ranks.get(id) + (link.label ? 2 : 1)));
      waiting.set(link.target, waiting.get(link.target) - 1);
      if (!waiting.get(link.target)) ready.push(link.target);
    }
  }
  return ranks;
}

function layered(sizes, links, ranks) {
  const rows = Array.from({ length: Math.max(0, ...ranks.values()) + 1 }, () => []);
  const layers = { rows, sizes: new Map(sizes), points: new Set(), above: new Map(), below: new Map(), chains: [] };
  for (const id of sizes.keys()) rows[ranks.get(id)].push(id);
  layers.chains = links.map((link, number) => chained(layers, link, number, ranks));
  return layers;
}

/** The ids from source to target, with a point in every layer between them. */
function chained(layers, link, number, ranks) {
  const chain = [link.source];
  const start = ranks.get(link.source) + 1;
  for (let rank = start; rank < ranks.get(link.target); rank += 1) {
    const id = `\0${number}/${rank}`;
    const labelled = rank === start && link.label;
    if (!labelled) layers.points.add(id);
    layers.sizes.set(id, labelled ? link.label : { width: GAP.point, height: 0 });
    layers.rows[rank].push(id);
    chain.push(id);
  }
  chain.push(link.target);
  if (link.source !== link.target) chain.slice(1).forEach((id, place) => join(layers, chain[place], id));
  return chain;
}

function join(layers, upper, lower) {
  layers.below.set(upper, [...(layers.below.get(upper) ?? []), lower]);
  layers.above.set(lower, [...(layers.above.get(lower) ?? []), upper]);
}

/** Every row that has one before it, down and up in turn: [before, row, neighbours]. */
function* sweeps(layers) {
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    const rows = down ? layers.rows : [...layers.rows].reverse();
    for (let place = 1; place < rows.length; place += 1) {
      yield [rows[place - 1], rows[place], down ? layers.above : layers.below];
    }
  }
}

/** Sort each row by the middle of its neighbours. */
function ordered(layers) {
  for (const [before, row, near] of sweeps(layers)) {
    const at = new Map(before.map((id, place) => [id, place]));
    const keys = new Map(row.map((id, place) => {
      const places = (near.get(id) ?? []).map((other) => at.get(other)).filter((found) => found !== undefined);
      return [id, mean(places, place)];
    }));
    row.sort((one, other) => keys.get(one) - keys.get(other));
  }
}

function placed(layers) {
  const centres = new Map();
  layers.rows.forEach((row) => spread(row, layers.sizes, () => 0, centres));
  for (const [, row, near] of sweeps(layers)) {
    const wish = (id) => mean((near.get(id) ?? []).map((other) => centres.get(other)), centres.get(id));
    spread(row, layers.sizes, wish, centres);
  }
  const left = Math.min(...[...centres].map(([id, centre]) => centre - layers.sizes.get(id).width / 2));
  const places = new Map();
  let y = 0;
  for (const row of layers.rows) {
    const height = Math.max(0, ...row.map((id) => layers.sizes.get(id).height));
    for (const id of row) {
      const own = layers.sizes.get(id);
      const size = layers.points.has(id) ? { ...own, height } : own; // an edge passes a row straight
      places.set(id, { x: centres.get(id) - size.width / 2 - left, y: y + (height - size.height) / 2, ...size });
    }
    y += height + GAP.layer;
  }
  return places;
}

const mean = (values, otherwise) =>
  values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : otherwise;

/** Put a row as near to where it wants as its widths allow (pool adjacent violators). */
function spread(row, sizes, wish, centres) {
  const offsets = [];
  row.forEach((id, place) => {
    const gap = place ? (sizes.get(row[place - 1]).width + sizes.get(id).width) / 2 + GAP.node : 0;
    offsets.push((offsets.at(-1) ?? 0) + gap);
  });
  const pools = [];
  row.forEach((id, place) => {
    let pool = { total: wish(id) - offsets[place], size: 1 };
    while (pools.length && pools.at(-1).total / pools.at(-1).size > pool.total / pool.size) {
      const before = pools.pop();
      pool = { total: pool.total + before.total, size: pool.size + before.size };
    }
    pools.push(pool);
  });
  const bases = pools.flatMap((pool) => Array(pool.size).fill(pool.total / pool.size));
  row.forEach((id, place) => centres.set(id, bases[place] + offsets[place]));
}
