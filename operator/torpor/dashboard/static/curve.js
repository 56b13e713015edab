// Draws the way of an edge through the boxes that it passes, as a path of SVG; pure.

/** From side to side, downwards; upwards where an edge leads back. */
export function curve(boxes) {
  const [first, last] = [boxes[0], boxes.at(-1)];
  if (first === last) return loop(first);
  const up = first.y > last.y;
  const points = boxes.flatMap((box, place) => {
    const near = [middle(box), up ? box.y + box.height : box.y];
    const far = [middle(box), up ? box.y : box.y + box.height];
    if (place === 0) return [far];
    return box === last ? [near] : [near, far];
  });
  return joined(points, ([ax, ay], [bx, by]) => `C${ax},${(ay + by) / 2} ${bx},${(ay + by) / 2} ${bx},${by}`);
}

/** As `curve`, from left to right. */
export function curveAcross(boxes) {
  const points = boxes.flatMap((box, place) => {
    const [near, far] = [[box.x, box.y + box.height / 2], [box.x + box.width, box.y + box.height / 2]];
    if (place === 0) return [far];
    return place === boxes.length - 1 ? [near] : [near, far];
  });
  return joined(points, ([ax, ay], [bx, by]) => `C${(ax + bx) / 2},${ay} ${(ax + bx) / 2},${by} ${bx},${by}`);
}

const middle = (box) => box.x + box.width / 2;

function joined(points, between) {
  const rest = points.slice(1).map((point, place) => between(points[place], point));
  return `M${points[0].join(",")} ${rest.join(" ")}`;
}

function loop({ x, y, width, height }) {
  const [right, out] = [x + width, x + width + 26];
  return `M${right},${y + height - 8} C${out},${y + height} ${out},${y} ${right},${y + 8}`;
}
