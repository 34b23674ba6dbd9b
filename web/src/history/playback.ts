// How time runs in a replay: as many times faster than the clock as asked, and over a gap after a moment's wait, so
// that the reader sees that nothing is known there. Plain functions over values.

import type { Span } from './days';
import { gapAt, indexAt, type Track } from './track';

export const RATES = [1, 5, 20, 60, 300] as const;
export type Rate = (typeof RATES)[number];

/** How long "no reports" is shown before the replay goes on behind the gap, ms of the clock. */
export const GAP_WAIT_MS = 1_800;
/** A frame that comes later than this (the tab was hidden) does not skip ahead. */
const MAX_FRAME_MS = 250;

export interface Playhead {
  /** Event time, ms. */
  time: number;
  /** How long it has waited in the gap it is in, ms of the clock. */
  waited: number;
}

export function playheadAt(time: number): Playhead {
  return { time, waited: 0 };
}

/** `elapsed` ms of the clock later. Never runs into a gap farther than its first millisecond, never past the end. */
export function advance(head: Playhead, elapsed: number, rate: Rate, span: Span, gaps: readonly Span[]): Playhead {
  const frame = Math.min(Math.max(elapsed, 0), MAX_FRAME_MS);
  const inside = gapAt(gaps, head.time);
  if (inside) {
    const waited = head.waited + frame;
    return waited < GAP_WAIT_MS ? { time: head.time, waited } : playheadAt(inside.end);
  }
  const time = Math.min(head.time + frame * rate, span.end);
  const met = gaps.find((gap) => gap.start >= head.time && gap.start < time);
  return playheadAt(met ? met.start + 1 : time);
}

/** The report after or before `time`; the first or last where there is none. */
export function reportBeside(track: Track, time: number, direction: 1 | -1): number {
  const index = indexAt(track, time);
  const onReport = track.times[index] === time;
  let target = direction === 1 ? index + 1 : onReport ? index - 1 : index;
  // Reports of one time are one step.
  while (direction === -1 && target >= 0 && track.times[target] === time) target--;
  return track.times[Math.min(Math.max(target, 0), track.length - 1)]!;
}

export function fasterThan(rate: Rate): Rate {
  return RATES[Math.min(RATES.indexOf(rate) + 1, RATES.length - 1)]!;
}

export function slowerThan(rate: Rate): Rate {
  return RATES[Math.max(RATES.indexOf(rate) - 1, 0)]!;
}
