// The day as it is told: trips, stops and stretches without reports, one after the other.

import type { Span } from './days';
import type { Stop, Trip, TripsAnswer } from './wire';

export type Entry =
  | (Span & { type: 'trip'; trip: Trip })
  | (Span & { type: 'stop'; stop: Stop })
  | (Span & { type: 'gap' });

/** In order of their start. */
export function timelineOf(answer: TripsAnswer | null, gaps: readonly Span[]): Entry[] {
  const entries: Entry[] = [
    ...(answer?.trips ?? []).map((trip) => ({ type: 'trip' as const, ...timesOf(trip), trip })),
    ...(answer?.stops ?? []).map((stop) => ({ type: 'stop' as const, ...timesOf(stop), stop })),
    ...gaps.map((gap) => ({ type: 'gap' as const, ...gap })),
  ];
  return entries.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** The entry that the time falls into: the one that began last. */
export function entryAt(entries: readonly Entry[], time: number): Entry | undefined {
  return entries.findLast((entry) => entry.start <= time && time <= entry.end);
}

export function timesOf(span: { start_time: string; end_time: string }): Span {
  return { start: Date.parse(span.start_time), end: Date.parse(span.end_time) };
}
