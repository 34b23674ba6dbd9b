// Leaves out of a line what the eye does not miss: Douglas and Peucker's way, without recursion, so that a day of
// 100,000 reports cannot exhaust the stack.

/**
 * Indices kept of `from..=to`, both ends among them: no point left out is farther than `tolerance` from the line
 * between its kept neighbours. `x`, `y` and `tolerance` in one unit.
 */
export function keptIndices(x: Float64Array, y: Float64Array, from: number, to: number, tolerance: number): number[] {
  const kept = new Uint8Array(to - from + 1);
  kept[0] = 1;
  kept[to - from] = 1;
  const open: [number, number][] = [[from, to]];
  for (let stretch = open.pop(); stretch; stretch = open.pop()) {
    const [first, last] = stretch;
    const [farthest, square] = farthestBetween(x, y, first, last);
    if (square <= tolerance * tolerance) continue;
    kept[farthest - from] = 1;
    open.push([first, farthest], [farthest, last]);
  }
  const indices: number[] = [];
  for (let at = from; at <= to; at++) if (kept[at - from]) indices.push(at);
  return indices;
}

function farthestBetween(
  x: Float64Array,
  y: Float64Array,
  first: number,
  last: number,
): [index: number, square: number] {
  let [farthest, square] = [first, 0];
  const ax = x[first]!;
  const ay = y[first]!;
  const dx = x[last]! - ax;
  const dy = y[last]! - ay;
  const whole = dx * dx + dy * dy;
  for (let at = first + 1; at < last; at++) {
    const px = x[at]! - ax;
    const py = y[at]! - ay;
    const part = whole === 0 ? 0 : Math.min(Math.max((px * dx + py * dy) / whole, 0), 1);
    const away = (px - part * dx) ** 2 + (py - part * dy) ** 2;
    if (away > square) [farthest, square] = [at, away];
  }
  return [farthest, square];
}
