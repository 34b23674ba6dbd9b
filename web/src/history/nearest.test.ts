import { expect, it } from 'vitest';
import { momentNear } from './nearest';
import { gapsOf, trackOf } from './track';

const START = Date.parse('2026-05-28T10:00:00Z');
const TRACK = trackOf(
  [
    [0, 41, -8],
    [100, 41, -7.9],
    [2000, 41, -7.8],
    [2100, 41.1, -7.8],
  ].map(([seconds, latitude, longitude]) => ({
    timestamp: new Date(START + seconds! * 1000).toISOString(),
    latitude: latitude!,
    longitude: longitude!,
  })),
);

function seconds(latitude: number, longitude: number): number | null {
  const reach = { latitude, longitude, east: 0.005, north: 0.004 };
  const time = momentNear(TRACK, gapsOf(TRACK, 900_000), reach);
  return time === null ? null : Math.round((time - START) / 1000);
}

it('a point beside the trail means the moment between two reports', () => {
  expect(seconds(41.001, -7.95)).toBe(50);
  expect(seconds(41.05, -7.802)).toBe(2050);
});

it('the nearer stretch wins', () => {
  expect(seconds(41.002, -7.8001)).toBe(2002);
});

it('out of reach, and in a gap, is no moment', () => {
  expect(seconds(41.0041, -7.95)).toBeNull();
  expect(seconds(41, -7.85)).toBeNull();
});
