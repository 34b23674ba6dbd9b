// Where every asset is drawn right now: one 32-byte record per asset in one buffer that goes to the GPU as it
// is. A fix does not move a marker; it starts a glide from the place shown at that moment to the new place,
// lasting about as long as the asset's report interval. The shader and `place` below interpolate alike.
//
// Record:  0 fromX u32 · 4 fromY u32 · 8 toX u32 · 12 toY u32 · 16 start u32 ms · 20 duration u32 ms
//         24 headingFrom i16 · 26 headingTo i16 (1/64 degree) · 28 kind · 29 freshness · 30 flags · 31 unused

import { metres, xStep } from './mercator';

export const RECORD_BYTES = 32;
export const MAX_GLIDE_MS = 2_000;
const MIN_GLIDE_MS = 120;
/** Farther than this is a new place, not a movement: the marker jumps. */
const MAX_GLIDE_M = 5_000;
const HEADING_UNITS = 64;

export const SHOWN = 1;
export const HAS_HEADING = 2;
export const HAS_PLACE = 4;

export type Freshness = 0 | 1 | 2;
export const LIVE = 0;
export const STALE = 1;
export const OFFLINE = 2;

export class Motion {
  count = 0;
  bytes = new Uint8Array(0);
  private u32 = new Uint32Array(0);
  private i16 = new Int16Array(0);
  /** Records changed since the GPU last took them: [first, past the last). */
  dirty: [number, number] = [0, 0];
  /** When the last running glide ends, on the page clock. */
  restsAt = 0;

  add(kind: number): number {
    const index = this.count++;
    if (this.bytes.byteLength < this.count * RECORD_BYTES) this.grow();
    this.bytes[index * RECORD_BYTES + 28] = kind;
    this.touch(index);
    return index;
  }

  clear(): void {
    this.bytes.fill(0);
    this.count = 0;
    this.dirty = [0, 0];
    this.restsAt = 0;
  }

  /** Puts the asset there at once. */
  put(index: number, x: number, y: number, heading: number | undefined, now: number): void {
    this.write(index, x, y, x, y, now, 0);
    this.turn(index, heading, now, false);
    this.setFlag(index, HAS_PLACE, true);
  }

  /** Starts a glide from where the asset is shown now. */
  glide(index: number, x: number, y: number, heading: number | undefined, now: number): void {
    if (!this.hasFlag(index, HAS_PLACE)) return this.put(index, x, y, heading, now);
    const [fromX, fromY] = this.place(index, now);
    if (metres(fromX, fromY, x, y) > MAX_GLIDE_M) return this.put(index, x, y, heading, now);
    const interval = (now - this.u32[index * 8 + 4]!) >>> 0;
    // A tenth longer than the last interval: a report that is a little late does not make the marker stutter.
    const duration = Math.min(Math.max(Math.round(interval * 1.1), MIN_GLIDE_MS), MAX_GLIDE_MS);
    this.turn(index, heading, now, true);
    this.write(index, fromX, fromY, x, y, now, duration);
    this.restsAt = Math.max(this.restsAt, now + duration);
  }

  /** The place shown at `now`, in mercator units. */
  place(index: number, now: number): [number, number] {
    const at = index * 8;
    const t = this.progress(index, now);
    const fromX = this.u32[at]!;
    const fromY = this.u32[at + 1]!;
    const x = fromX + Math.round(xStep(fromX, this.u32[at + 2]!) * t);
    return [x >>> 0, fromY + Math.round((this.u32[at + 3]! - fromY) * t)];
  }

  setFreshness(index: number, freshness: Freshness): void {
    const at = index * RECORD_BYTES + 29;
    if (this.bytes[at] === freshness) return;
    this.bytes[at] = freshness;
    this.touch(index);
  }

  freshness(index: number): Freshness {
    return this.bytes[index * RECORD_BYTES + 29] as Freshness;
  }

  kind(index: number): number {
    return this.bytes[index * RECORD_BYTES + 28]!;
  }

  setFlag(index: number, flag: number, on: boolean): void {
    const at = index * RECORD_BYTES + 30;
    const before = this.bytes[at]!;
    const after = on ? before | flag : before & ~flag;
    if (after === before) return;
    this.bytes[at] = after;
    this.touch(index);
  }

  hasFlag(index: number, flag: number): boolean {
    return (this.bytes[index * RECORD_BYTES + 30]! & flag) === flag;
  }

  private progress(index: number, now: number): number {
    const at = index * 8;
    const duration = this.u32[at + 5]!;
    if (duration === 0) return 1;
    return Math.min(Math.max(((now - this.u32[at + 4]!) | 0) / duration, 0), 1);
  }

  private write(index: number, fx: number, fy: number, tx: number, ty: number, now: number, ms: number): void {
    this.u32.set([fx, fy, tx, ty, now, ms], index * 8);
    this.touch(index);
  }

  private turn(index: number, heading: number | undefined, now: number, smooth: boolean): void {
    this.setFlag(index, HAS_HEADING, heading !== undefined);
    if (heading === undefined) return;
    const at = index * 16 + 12;
    const target = Math.round((((heading % 360) + 360) % 360) * HEADING_UNITS);
    this.i16[at] = smooth ? this.headingShown(index, now) : target;
    this.i16[at + 1] = target;
  }

  private headingShown(index: number, now: number): number {
    const at = index * 16 + 12;
    const turn = 360 * HEADING_UNITS;
    const from = this.i16[at]!;
    const way = ((((this.i16[at + 1]! - from + turn * 1.5) % turn) + turn) % turn) - turn / 2;
    return (((from + Math.round(way * this.progress(index, now))) % turn) + turn) % turn;
  }

  private touch(index: number): void {
    const [first, past] = this.dirty;
    this.dirty = past === 0 ? [index, index + 1] : [Math.min(first, index), Math.max(past, index + 1)];
  }

  private grow(): void {
    const next = new Uint8Array(Math.max(this.count, 1024) * 2 * RECORD_BYTES);
    next.set(this.bytes);
    this.bytes = next;
    this.u32 = new Uint32Array(next.buffer);
    this.i16 = new Int16Array(next.buffer);
  }
}
