import { describe, expect, it } from 'vitest';
import {
  advance,
  fasterThan,
  GAP_WAIT_MS,
  type Playhead,
  playheadAt,
  type Rate,
  reportBeside,
  slowerThan,
} from './playback';
import { gapsOf, spanOf, trackOf } from './track';

const START = Date.parse('2026-05-28T10:00:00Z');
const FRAME_MS = 20;
const TRACK = trackOf(
  [0, 10, 20, 20, 2020, 2030].map((seconds) => ({
    timestamp: new Date(START + seconds * 1000).toISOString(),
    latitude: 41,
    longitude: -8,
  })),
);
const GAPS = gapsOf(TRACK, 900_000);
const SPAN = spanOf(TRACK);

/** Seconds into the track after each frame. */
function play(from: number, rate: Rate, frames: number): number[] {
  let head: Playhead = playheadAt(START + from * 1000);
  return Array.from({ length: frames }, () => {
    head = advance(head, FRAME_MS, rate, SPAN, GAPS);
    return (head.time - START) / 1000;
  });
}

describe('a replay', () => {
  it('runs as many times faster than the clock as asked', () => {
    expect(play(0, 1, 50).at(-1)).toBeCloseTo(1);
    expect(play(0, 5, 50).at(-1)).toBeCloseTo(5);
    expect(play(0, 300, 3).at(-1)).toBeCloseTo(18);
  });

  it('shows a gap for a moment and goes on with the report behind it', () => {
    const times = play(19, 60, 100);
    const waiting = times.filter((time) => time === 20.001).length;
    expect(waiting * FRAME_MS).toBe(GAP_WAIT_MS);
    expect(times[waiting]).toBe(2020);
    expect(times.some((time) => time > 20.001 && time < 2020)).toBe(false);
  });

  it('waits also when put into the middle of a gap', () => {
    const times = play(1000, 20, GAP_WAIT_MS / FRAME_MS);
    expect(times.at(-2)).toBe(1000);
    expect(times.at(-1)).toBe(2020);
  });

  it('stops at the last report', () => {
    expect(play(2029, 300, 5).at(-1)).toBe(2030);
  });

  it('does not skip ahead when a frame was long in coming', () => {
    expect(advance(playheadAt(START), 60_000, 1, SPAN, GAPS).time).toBe(START + 250);
  });
});

it('steps from report to report, over equal times and not beyond the ends', () => {
  const step = (seconds: number, direction: 1 | -1) =>
    (reportBeside(TRACK, START + seconds * 1000, direction) - START) / 1000;
  expect([step(0, 1), step(3, 1), step(10, 1), step(20, 1), step(2030, 1)]).toEqual([10, 10, 20, 2020, 2030]);
  expect([step(2030, -1), step(2020, -1), step(20, -1), step(15, -1), step(0, -1)]).toEqual([2020, 20, 10, 10, 0]);
});

it('rates have a slowest and a fastest', () => {
  expect([slowerThan(1), slowerThan(5), fasterThan(60), fasterThan(300)]).toEqual([1, 1, 300, 300]);
});
