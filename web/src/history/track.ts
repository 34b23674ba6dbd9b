// The reports of one asset and one day in order of event time, as columns: 100,000 of them are a few arrays. Knows
// where the asset was at any moment between them, and where nobody knows.

import type { Span } from './days';
import type { RoutePoint } from './wire';

export interface Track {
  readonly length: number;
  /** ms since 1970, rising */
  readonly times: Float64Array;
  /** degrees; run on past 180 where the asset does, so that no line crosses the whole map */
  readonly longitudes: Float64Array;
  readonly latitudes: Float64Array;
  /** km/h; NaN where not reported */
  readonly speeds: Float32Array;
  /** degrees clockwise from north; NaN where not reported */
  readonly headings: Float32Array;
}

export interface Moment {
  time: number;
  /** The last report at or before this time. */
  index: number;
  longitude: number;
  latitude: number;
  speed: number | null;
  heading: number | null;
  /** Set where there are no reports around this time. */
  gap: Span | null;
}

/** Nearer than this two fixes do not tell where the asset is heading. */
const MIN_COURSE_M = 5;
const METRES_PER_DEGREE = 111_195;

/** Points without a place or out of order of time are left out. */
export function trackOf(points: readonly RoutePoint[]): Track {
  const times = new Float64Array(points.length);
  const longitudes = new Float64Array(points.length);
  const latitudes = new Float64Array(points.length);
  const speeds = new Float32Array(points.length);
  const headings = new Float32Array(points.length);
  let length = 0;
  for (const point of points) {
    const time = Date.parse(point.timestamp);
    if (point.latitude === undefined || point.longitude === undefined || Number.isNaN(time)) continue;
    if (length > 0 && time < times[length - 1]!) continue;
    times[length] = time;
    longitudes[length] = length === 0 ? point.longitude : unwrapped(longitudes[length - 1]!, point.longitude);
    latitudes[length] = point.latitude;
    speeds[length] = point.speed ?? Number.NaN;
    headings[length] = point.heading ?? Number.NaN;
    length++;
  }
  return {
    length,
    times: times.subarray(0, length),
    longitudes: longitudes.subarray(0, length),
    latitudes: latitudes.subarray(0, length),
    speeds: speeds.subarray(0, length),
    headings: headings.subarray(0, length),
  };
}

/** First and last report. */
export function spanOf(track: Track): Span {
  return { start: track.times[0] ?? 0, end: track.times[track.length - 1] ?? 0 };
}

/** The last report at or before `time`; -1 before the first. */
export function indexAt(track: Track, time: number): number {
  let [low, high] = [0, track.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (track.times[middle]! <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Stretches without reports longer than `maxGapMs`. A stretch inside one of `known` (trips and stops that the node
 * found in all reports) is none: there the reports were simplified away.
 */
export function gapsOf(track: Track, maxGapMs: number, known: readonly Span[] = []): Span[] {
  const gaps: Span[] = [];
  for (let at = 1; at < track.length; at++) {
    const [start, end] = [track.times[at - 1]!, track.times[at]!];
    if (end - start <= maxGapMs) continue;
    if (!known.some((span) => span.start <= start && end <= span.end)) gaps.push({ start, end });
  }
  return gaps;
}

/** The gap that `time` lies in, ends not included. */
export function gapAt(gaps: readonly Span[], time: number): Span | null {
  let [low, high] = [0, gaps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (gaps[middle]!.end <= time) low = middle + 1;
    else high = middle;
  }
  const gap = gaps[low];
  return gap && gap.start < time ? gap : null;
}

/**
 * Where the asset was at `time`: on the straight line between the reports around it; in a gap at the last report
 * before it. Times outside the track are the first or last report. `smooth: false` stays on reports.
 */
export function momentAt(track: Track, gaps: readonly Span[], time: number, smooth = true): Moment {
  const { start, end } = spanOf(track);
  const inside = Math.min(Math.max(time, start), end);
  const index = indexAt(track, inside);
  const next = Math.min(index + 1, track.length - 1);
  const gap = gapAt(gaps, inside);
  const span = track.times[next]! - track.times[index]!;
  const part = gap || !smooth || span === 0 ? 0 : (inside - track.times[index]!) / span;
  const between = (column: Float64Array) => column[index]! + (column[next]! - column[index]!) * part;
  return {
    time: inside,
    index,
    longitude: between(track.longitudes),
    latitude: between(track.latitudes),
    speed: gap ? null : speedAt(track, index, next),
    heading: headingAt(track, index, gap ? index : next, part),
    gap,
  };
}

/** Metres between two reports of the track, for the short ways between neighbours. */
export function stepMetres(track: Track, from: number, to: number): number {
  const [east, north] = step(track, from, to);
  return Math.hypot(east, north);
}

/** As reported; else the mean of the way to the next report. */
function speedAt(track: Track, index: number, next: number): number | null {
  const reported = track.speeds[index]!;
  if (!Number.isNaN(reported)) return reported;
  const ms = track.times[next]! - track.times[index]!;
  return ms > 0 ? (stepMetres(track, index, next) / ms) * 3600 : null;
}

/** As reported, turning the short way to the next one; else the course of the way; else unknown. */
function headingAt(track: Track, index: number, next: number, part: number): number | null {
  const from = track.headings[index]!;
  const to = track.headings[next]!;
  if (!Number.isNaN(from)) {
    const turn = Number.isNaN(to) ? 0 : ((((to - from) % 360) + 540) % 360) - 180;
    return (((from + turn * part) % 360) + 360) % 360;
  }
  const [east, north] = step(track, index, next);
  if (Math.hypot(east, north) < MIN_COURSE_M) return null;
  return ((Math.atan2(east, north) * 180) / Math.PI + 360) % 360;
}

function step(track: Track, from: number, to: number): [east: number, north: number] {
  const middle = ((track.latitudes[from]! + track.latitudes[to]!) / 2) * (Math.PI / 180);
  return [
    (track.longitudes[to]! - track.longitudes[from]!) * METRES_PER_DEGREE * Math.cos(middle),
    (track.latitudes[to]! - track.latitudes[from]!) * METRES_PER_DEGREE,
  ];
}

function unwrapped(before: number, longitude: number): number {
  return longitude + Math.round((before - longitude) / 360) * 360;
}
