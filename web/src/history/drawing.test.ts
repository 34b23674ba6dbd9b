import type { Feature, LineString } from 'geojson';
import { describe, expect, it } from 'vitest';
import { drawDay, speedStep } from './drawing';
import { keptIndices } from './simplify';
import { gapsOf, type Track, trackOf } from './track';

const START = Date.parse('2026-05-28T10:00:00Z');
const STEPS = [10, 30, 50];
const STEP_DEGREES = 0.0005; // 55 m

function trackWith(points: [seconds: number, latitude: number, longitude: number, speed?: number][]): Track {
  return trackOf(
    points.map(([seconds, latitude, longitude, speed]) => ({
      timestamp: new Date(START + seconds * 1000).toISOString(),
      latitude,
      longitude,
      ...(speed === undefined ? {} : { speed }),
    })),
  );
}

function drawn(track: Track, part: string): Feature<LineString>[] {
  const { lines } = drawDay(track, gapsOf(track, 900_000), [], STEPS);
  return lines.features.filter((line) => line.properties?.part === part) as Feature<LineString>[];
}

/** As if by chance, but always the same. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

describe('the drawing of a day', () => {
  it('colours the way by how fast it was driven, not by how long the asset stood at its end', () => {
    const track = trackWith([
      [0, 41, -8, 20],
      [10, 41, -7.9995, 20],
      [20, 41, -7.999, 20],
      [30, 41, -7.999, 0],
      [400, 41, -7.999, 0],
      [800, 41, -7.999, 0],
    ]);
    expect(drawn(track, 'speed').map((run) => run.properties?.step)).toEqual([1]);
  });

  it('breaks the way at a gap and joins it with dashes', () => {
    const track = trackWith([
      [0, 41, -8],
      [10, 41.001, -8],
      [2000, 41.002, -8],
      [2010, 41.002, -8.001],
    ]);
    expect(drawn(track, 'way').map((way) => way.geometry.coordinates)).toEqual([
      [
        [-8, 41],
        [-8, 41.001],
      ],
      [
        [-8, 41.002],
        [-8.001, 41.002],
      ],
    ]);
    expect(drawn(track, 'gap').map((gap) => gap.geometry.coordinates)).toEqual([
      [
        [-8, 41.001],
        [-8, 41.002],
      ],
    ]);
  });

  it('changes colour where the speed does, without a hole', () => {
    const slowThenFast = Array.from({ length: 20 }, (_, at): [number, number, number, number] => [
      at * 10,
      41 + (at % 2) * 0.0001,
      -8 + at * STEP_DEGREES,
      at < 10 ? 5 : 60,
    ]);
    const runs = drawn(trackWith(slowThenFast), 'speed');
    expect(runs.map((run) => run.properties?.step)).toEqual([0, 3]);
    expect(runs[0]!.geometry.coordinates.at(-1)).toEqual(runs[1]!.geometry.coordinates[0]);
  });

  it('works out the colour where no speed was reported', () => {
    const track = trackWith([
      [0, 41, -8],
      [10, 41 + STEP_DEGREES, -8],
    ]);
    expect(drawn(track, 'speed').map((run) => run.properties?.step)).toEqual([1]);
  });

  it('marks both ends and the stops, and knows its bounds', () => {
    const track = trackWith([
      [0, 41, 179.99],
      [10, 41.1, -179.98],
    ]);
    const stop = { start_time: '', end_time: '', latitude: 41, longitude: -179.99, duration_s: 200, points: 9 };
    const { marks, bounds } = drawDay(track, [], [stop], STEPS);
    expect(marks.features.map((mark) => mark.properties?.part)).toEqual(['stop', 'start', 'end']);
    expect(marks.features[0]!.geometry).toMatchObject({ coordinates: [180.01, 41] });
    expect(bounds[2] - bounds[0]).toBeCloseTo(0.03, 9);
  });

  it('of one report is a dot, of none is nothing', () => {
    expect(drawn(trackWith([[0, 41, -8]]), 'way')).toHaveLength(1);
    expect(drawDay(trackWith([]), [], [], STEPS).lines.features).toEqual([]);
  });

  it('of 100,000 reports stays small enough to draw', () => {
    const random = chance(7);
    let [latitude, longitude, course] = [41, -8, 0];
    const points = Array.from({ length: 100_000 }, (_, at): [number, number, number, number] => {
      course += (random() - 0.5) * 0.4;
      latitude += Math.cos(course) * 0.0001;
      longitude += Math.sin(course) * 0.0001;
      return [at, latitude, longitude, random() * 80];
    });
    const track = trackWith(points);
    const runs = drawn(track, 'speed');
    expect(runs.length).toBeLessThanOrEqual(4_000);
    expect(runs.length).toBeGreaterThan(100);
    expect(drawn(track, 'way')[0]!.geometry.coordinates.length).toBeLessThan(70_000);
  });
});

describe('a simplified line', () => {
  it('keeps both ends and everything within the tolerance', () => {
    const random = chance(3);
    const x = Float64Array.from({ length: 400 }, (_, at) => at + random());
    const y = Float64Array.from({ length: 400 }, (_, at) => Math.sin(at / 20) * 30 + random() * 3);
    const kept = keptIndices(x, y, 10, 390, 2);
    expect([kept[0], kept.at(-1)]).toEqual([10, 390]);
    expect(kept.length).toBeLessThan(200);
    for (let at = 10; at <= 390; at++) {
      const next = Math.max(
        kept.findIndex((index) => index >= at),
        1,
      );
      expect(distance(x, y, at, kept[next - 1]!, kept[next]!)).toBeLessThanOrEqual(2 + 1e-9);
    }
  });

  it('without tolerance keeps every bend and drops what lies on the line', () => {
    const x = Float64Array.of(0, 1, 2, 3, 3);
    const y = Float64Array.of(0, 0, 0, 0, 1);
    expect(keptIndices(x, y, 0, 4, 0)).toEqual([0, 3, 4]);
  });
});

function distance(x: Float64Array, y: Float64Array, at: number, from: number, to: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let part = 0; part <= 1000; part++) {
    const px = x[from]! + ((x[to]! - x[from]!) * part) / 1000;
    const py = y[from]! + ((y[to]! - y[from]!) * part) / 1000;
    best = Math.min(best, Math.hypot(px - x[at]!, py - y[at]!));
  }
  return best - 0.01;
}

it('a speed reaches as many steps as it is not below', () => {
  expect([0, 9.9, 10, 49, 50, 200].map((speed) => speedStep(speed, STEPS))).toEqual([0, 0, 1, 2, 3, 3]);
});
