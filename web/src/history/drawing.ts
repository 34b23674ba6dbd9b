// A day as lines and marks for the map: the way, coloured by speed, dashes where there are no reports, stops, both
// ends. Made once per day; MapLibre cuts it into tiles and thins it out by zoom.

import type { Feature, FeatureCollection } from 'geojson';
import type { Span } from './days';
import { keptIndices } from './simplify';
import { stepMetres, type Track } from './track';
import type { Stop } from './wire';

export interface DayDrawing {
  /** `part`: `way` (all of it, one piece between gaps), `speed` with `step`, `gap`. */
  lines: FeatureCollection;
  /** `part`: `stop` with `seconds`, `start`, `end`. */
  marks: FeatureCollection;
  /** west, south, east, north */
  bounds: Bounds;
}

export type Bounds = [number, number, number, number];

/** Half of what GPS is good for: nobody sees a line move by this. */
const TOLERANCE_M = 1.5;
/** A shorter change of speed is not worth a colour, and on a long day this part of the way is not. */
const MIN_RUN_M = 30;
const MAX_RUNS = 4_000;
const METRES_PER_DEGREE = 111_195;

/** `steps`: speeds in km/h at which the colour changes, rising. */
export function drawDay(
  track: Track,
  gaps: readonly Span[],
  stops: readonly Stop[],
  steps: readonly number[],
): DayDrawing {
  const pieces = piecesOf(track, gaps);
  const kept = simplified(track, pieces);
  const shortest = Math.max(MIN_RUN_M, kept.reduce((sum, way) => sum + wayMetres(track, way), 0) / MAX_RUNS);
  return {
    lines: collection([
      ...kept.map((way) => line(track, way, { part: 'way' })),
      ...kept.flatMap((way) => speedRuns(track, way, steps, shortest)),
      ...pieces.slice(1).map(([first], at) => line(track, [pieces[at]![1], first], { part: 'gap' })),
    ]),
    marks: collection(marksOf(track, stops)),
    bounds: boundsOf(track, 0, track.length - 1),
  };
}

/** What the reports from one to the other index cover. */
export function boundsOf(track: Track, first: number, last: number): Bounds {
  const bounds: Bounds = [
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  for (let at = first; at <= last; at++) {
    bounds[0] = Math.min(bounds[0], track.longitudes[at]!);
    bounds[1] = Math.min(bounds[1], track.latitudes[at]!);
    bounds[2] = Math.max(bounds[2], track.longitudes[at]!);
    bounds[3] = Math.max(bounds[3], track.latitudes[at]!);
  }
  return bounds;
}

/** Which colour a speed has: the number of steps it reaches. */
export function speedStep(speed: number, steps: readonly number[]): number {
  let step = 0;
  while (step < steps.length && speed >= steps[step]!) step++;
  return step;
}

/** Stretches without a gap, as first and last index. */
function piecesOf(track: Track, gaps: readonly Span[]): [first: number, last: number][] {
  const pieces: [number, number][] = [];
  let first = 0;
  let gap = 0;
  for (let at = 1; at < track.length; at++) {
    if (gap >= gaps.length || track.times[at]! < gaps[gap]!.end) continue;
    pieces.push([first, at - 1]);
    first = at;
    gap++;
  }
  if (track.length > 0) pieces.push([first, track.length - 1]);
  return pieces;
}

function simplified(track: Track, pieces: readonly [number, number][]): number[][] {
  const x = new Float64Array(track.length);
  const y = new Float64Array(track.length);
  const shrink = Math.cos(((track.latitudes[0] ?? 0) * Math.PI) / 180);
  for (let at = 0; at < track.length; at++) {
    x[at] = track.longitudes[at]! * METRES_PER_DEGREE * shrink;
    y[at] = track.latitudes[at]! * METRES_PER_DEGREE;
  }
  return pieces.map(([first, last]) => keptIndices(x, y, first, last, TOLERANCE_M));
}

/** The way in stretches of one colour each. */
function speedRuns(track: Track, way: readonly number[], steps: readonly number[], shortest: number): Feature[] {
  const runs: { step: number; way: number[]; metres: number }[] = [];
  for (let at = 1; at < way.length; at++) {
    const [from, to] = [way[at - 1]!, way[at]!];
    const step = speedStep(meanSpeed(track, from, to), steps);
    const metres = stepMetres(track, from, to);
    const run = runs.at(-1);
    if (run && (run.step === step || run.metres < shortest)) {
      // What was too short for a colour of its own takes that of what follows.
      if (run.metres < shortest) run.step = step;
      run.way.push(to);
      run.metres += metres;
    } else runs.push({ step, way: [from, to], metres });
  }
  return runs.map((run) => line(track, run.way, { part: 'speed', step: run.step }));
}

/** km/h over the way from one report to the other, so that standing at its end does not slow it; without speeds, from
 * the way and its time. */
function meanSpeed(track: Track, from: number, to: number): number {
  let [sum, metres] = [0, 0];
  for (let at = from + 1; at <= to; at++) {
    const speed = track.speeds[at]!;
    if (Number.isNaN(speed)) continue;
    const step = stepMetres(track, at - 1, at);
    sum += speed * step;
    metres += step;
  }
  if (metres > 0) return sum / metres;
  const ms = track.times[to]! - track.times[from]!;
  return ms > 0 ? (stepMetres(track, from, to) / ms) * 3600 : 0;
}

function wayMetres(track: Track, way: readonly number[]): number {
  let metres = 0;
  for (let at = 1; at < way.length; at++) metres += stepMetres(track, way[at - 1]!, way[at]!);
  return metres;
}

function marksOf(track: Track, stops: readonly Stop[]): Feature[] {
  if (track.length === 0) return [];
  // The node knows nothing of lines that run on past 180 degrees.
  const near = (longitude: number) => longitude + Math.round((track.longitudes[0]! - longitude) / 360) * 360;
  return [
    ...stops.map((stop) => mark([near(stop.longitude), stop.latitude], { part: 'stop', seconds: stop.duration_s })),
    mark(position(track, 0), { part: 'start' }),
    mark(position(track, track.length - 1), { part: 'end' }),
  ];
}

function position(track: Track, at: number): [number, number] {
  return [track.longitudes[at]!, track.latitudes[at]!];
}

function line(track: Track, way: readonly number[], properties: Feature['properties']): Feature {
  // One report alone is a line to itself: its round end is a dot.
  const indices = way.length === 1 ? [way[0]!, way[0]!] : way;
  const coordinates = indices.map((at) => position(track, at));
  return { type: 'Feature', properties, geometry: { type: 'LineString', coordinates } };
}

function mark(coordinates: [number, number], properties: Feature['properties']): Feature {
  return { type: 'Feature', properties, geometry: { type: 'Point', coordinates } };
}

function collection(features: Feature[]): FeatureCollection {
  return { type: 'FeatureCollection', features };
}
