import { describe, expect, it } from 'vitest';
import { gapAt, gapsOf, indexAt, momentAt, spanOf, trackOf } from './track';
import type { RoutePoint } from './wire';

const START = Date.parse('2026-05-28T10:00:00Z');
const MAX_GAP_MS = 900_000;

function point(seconds: number, more: Partial<RoutePoint> = {}): RoutePoint {
  return { timestamp: new Date(START + seconds * 1000).toISOString(), latitude: 41, longitude: -8, ...more };
}

function at(points: RoutePoint[], seconds: number, smooth = true) {
  const track = trackOf(points);
  return momentAt(track, gapsOf(track, MAX_GAP_MS), START + seconds * 1000, smooth);
}

describe('a track', () => {
  it('leaves out points without a place and out of order', () => {
    const { latitude: _, longitude: __, ...placeless } = point(5);
    const track = trackOf([point(0), placeless, point(20), point(10), point(30)]);
    expect([...track.times].map((time) => (time - START) / 1000)).toEqual([0, 20, 30]);
    expect(spanOf(track)).toEqual({ start: START, end: START + 30_000 });
  });

  it('finds the last report at or before a time as a search from the front does', () => {
    const track = trackOf([0, 10, 10, 11, 50, 900].map((seconds) => point(seconds)));
    for (let seconds = -5; seconds < 1000; seconds++) {
      const time = START + seconds * 1000;
      expect(indexAt(track, time)).toBe([...track.times].findLastIndex((other) => other <= time));
    }
  });

  it('crosses the date line the short way', () => {
    expect(at([point(0, { longitude: 179.9 }), point(10, { longitude: -179.9 })], 5).longitude).toBeCloseTo(180, 9);
  });
});

describe('a moment', () => {
  it('lies on the line between two reports, in proportion to time', () => {
    const points = [point(0), point(10, { latitude: 41.001, longitude: -8.002 })];
    expect(at(points, 2.5)).toMatchObject({ index: 0, gap: null });
    expect(at(points, 2.5).latitude).toBeCloseTo(41.00025, 9);
    expect(at(points, 2.5).longitude).toBeCloseTo(-8.0005, 9);
  });

  it('keeps to the reports when asked not to move smoothly', () => {
    expect(at([point(0), point(10, { latitude: 41.001 })], 9, false).latitude).toBe(41);
  });

  it('before the first and after the last report is that report', () => {
    const points = [point(0), point(10, { latitude: 42 })];
    expect(at(points, -60)).toMatchObject({ time: START, latitude: 41 });
    expect(at(points, 60)).toMatchObject({ time: START + 10_000, latitude: 42 });
  });

  it('waits at the last report in a gap, without a speed', () => {
    const points = [point(0, { speed: 30 }), point(901, { latitude: 42 })];
    expect(at(points, 450)).toMatchObject({ latitude: 41, speed: null, gap: { start: START, end: START + 901_000 } });
    expect(at(points, 901)).toMatchObject({ latitude: 42, gap: null });
    expect(at(points, 0)).toMatchObject({ latitude: 41, speed: 30, gap: null });
  });

  it('takes fifteen minutes without a report for a movement still', () => {
    expect(at([point(0), point(900, { latitude: 42 })], 450)).toMatchObject({ latitude: 41.5, gap: null });
  });

  it('turns the short way over north', () => {
    expect(at([point(0, { heading: 350 }), point(10, { heading: 20 })], 5).heading).toBeCloseTo(5, 4);
    expect(at([point(0, { heading: 10 }), point(10, { heading: 350 })], 7.5).heading).toBeCloseTo(355, 4);
  });

  it('works out speed and course where none was reported', () => {
    const { speed, heading } = at([point(0, { latitude: 0 }), point(10, { latitude: 0, longitude: -7.999 })], 1);
    expect(speed).toBeCloseTo(40.03, 1);
    expect(heading).toBeCloseTo(90, 3);
    expect(at([point(0), point(10)], 1).heading).toBeNull();
  });

  it('is there with two reports of one time, and with a single one', () => {
    expect(at([point(0), point(0, { latitude: 42 })], 0).latitude).toBe(42);
    expect(at([point(0)], 0)).toMatchObject({ index: 0, latitude: 41, longitude: -8 });
  });
});

describe('gaps', () => {
  it('are not found where the node knows of reports that were simplified away', () => {
    const track = trackOf([point(0), point(1800), point(5000)]);
    expect(gapsOf(track, MAX_GAP_MS)).toHaveLength(2);
    const stop = { start: START - 60_000, end: START + 1_860_000 };
    expect(gapsOf(track, MAX_GAP_MS, [stop])).toEqual([{ start: START + 1_800_000, end: START + 5_000_000 }]);
  });

  it('hold what is strictly inside them', () => {
    const gaps = [
      { start: 10, end: 20 },
      { start: 20, end: 30 },
      { start: 50, end: 60 },
    ];
    for (let time = 0; time < 70; time++) {
      expect(gapAt(gaps, time)).toEqual(gaps.find((gap) => gap.start < time && time < gap.end) ?? null);
    }
  });
});
