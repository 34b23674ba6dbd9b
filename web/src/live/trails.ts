// Where assets have been since the page was opened. One ring for the whole fleet, each slot pointing to the
// asset's slot before it: memory is fixed whatever the fleet does, and when the ring is full the oldest
// points of all assets go first.

import { metres } from './mercator';

export const MAX_TRAIL_POINTS = 2_000;
const RING_SLOTS = 2 ** 20;
/** Nearer than this to the last kept point is not a new point. */
const MIN_STEP_M = 6;
const NONE = -1;

export class Trails {
  private x: Uint32Array;
  private y: Uint32Array;
  private previous: Float64Array;
  private next = 0;
  /** Per asset: the number of its newest point. */
  private newest: number[] = [];

  constructor(private slots = RING_SLOTS) {
    this.x = new Uint32Array(slots);
    this.y = new Uint32Array(slots);
    this.previous = new Float64Array(slots);
  }

  record(asset: number, x: number, y: number): void {
    const last = this.newest[asset] ?? NONE;
    if (this.kept(last)) {
      const at = last % this.slots;
      if (metres(this.x[at]!, this.y[at]!, x, y) < MIN_STEP_M) return;
    }
    const slot = this.next % this.slots;
    this.x[slot] = x;
    this.y[slot] = y;
    this.previous[slot] = last;
    this.newest[asset] = this.next++;
  }

  has(asset: number): boolean {
    return this.kept(this.newest[asset] ?? NONE);
  }

  /** Newest first, at most `limit` points. */
  read(asset: number, limit = MAX_TRAIL_POINTS): [number, number][] {
    const points: [number, number][] = [];
    let at = this.newest[asset] ?? NONE;
    while (this.kept(at) && points.length < limit) {
      const slot = at % this.slots;
      points.push([this.x[slot]!, this.y[slot]!]);
      at = this.previous[slot]!;
    }
    return points;
  }

  clear(): void {
    this.next = 0;
    this.newest = [];
  }

  private kept(point: number): boolean {
    return point !== NONE && point >= this.next - this.slots;
  }
}
