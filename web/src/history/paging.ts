// A day's reports, page by page. A day that is too long for the page is read again with reports left out that the
// line does without, ever more of them, instead of being cut.

import type { RoutePage, RoutePoint } from './wire';

export const PAGE_POINTS = 20_000;
/** More than this is not held; the node is asked to simplify. */
export const MAX_POINTS = 200_000;
/** Tried one after the other until the day fits, metres. */
export const TOLERANCES_M = [5, 20, 100] as const;

export interface Simplified {
  /** No left-out report lies farther than this from the line, metres. */
  tolerance: number;
  /** Reports before simplification. */
  from: number;
}

export interface RouteRead {
  points: RoutePoint[];
  simplified: Simplified | null;
  /** Even simplified the day is too long: later reports are missing. */
  cut: boolean;
}

export type ReadPage = (cursor: string | null, tolerance: number | null) => Promise<RoutePage>;

/** Fails with the first page that fails. `onProgress` hears the points held so far. */
export async function readRoute(readPage: ReadPage, onProgress: (points: number) => void): Promise<RouteRead> {
  let read = await readPages(readPage, null, onProgress);
  for (const tolerance of TOLERANCES_M) {
    if (!read.cut) break;
    read = await readPages(readPage, tolerance, onProgress);
  }
  return read;
}

async function readPages(
  readPage: ReadPage,
  tolerance: number | null,
  onProgress: (points: number) => void,
): Promise<RouteRead> {
  const points: RoutePoint[] = [];
  let from = 0;
  let cursor: string | null = null;
  do {
    const page: RoutePage = await readPage(cursor, tolerance);
    for (const point of page.points) points.push(point);
    from += page.simplified_from ?? page.points.length;
    // A cursor that leads to itself would read for ever.
    cursor = page.next_cursor === cursor ? null : page.next_cursor;
    onProgress(points.length);
  } while (cursor !== null && points.length < MAX_POINTS);
  return { points, simplified: tolerance === null ? null : { tolerance, from }, cut: cursor !== null };
}
