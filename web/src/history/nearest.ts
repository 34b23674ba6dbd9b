// Which moment of a trail a point of the map means.

import type { Span } from './days';
import { gapAt, type Track } from './track';

export interface Reach {
  longitude: number;
  latitude: number;
  /** Half axes of what still counts as near, degrees. */
  east: number;
  north: number;
}

/** The time at which the trail was nearest, or `null` when it is out of reach. Gaps are no part of the trail. */
export function momentNear(track: Track, gaps: readonly Span[], reach: Reach): number | null {
  let best: number | null = null;
  let bestSquare = 1;
  for (let at = 0; at < track.length; at++) {
    const to = gapBehind(track, gaps, at) ? at : Math.min(at + 1, track.length - 1);
    const [ax, ay] = [
      (track.longitudes[at]! - reach.longitude) / reach.east,
      (track.latitudes[at]! - reach.latitude) / reach.north,
    ];
    const [bx, by] = [
      (track.longitudes[to]! - reach.longitude) / reach.east,
      (track.latitudes[to]! - reach.latitude) / reach.north,
    ];
    if (Math.min(ax, bx) > 1 || Math.max(ax, bx) < -1 || Math.min(ay, by) > 1 || Math.max(ay, by) < -1) continue;
    const part = partNearest(ax, ay, bx - ax, by - ay);
    const square = (ax + (bx - ax) * part) ** 2 + (ay + (by - ay) * part) ** 2;
    if (square > bestSquare) continue;
    bestSquare = square;
    best = track.times[at]! + (track.times[to]! - track.times[at]!) * part;
  }
  return best;
}

/** Where on the line from (ax, ay) along (dx, dy) the origin is nearest, 0 to 1. */
function partNearest(ax: number, ay: number, dx: number, dy: number): number {
  const whole = dx * dx + dy * dy;
  return whole === 0 ? 0 : Math.min(Math.max(-(ax * dx + ay * dy) / whole, 0), 1);
}

function gapBehind(track: Track, gaps: readonly Span[], at: number): boolean {
  return gapAt(gaps, track.times[at]! + 1) !== null;
}
