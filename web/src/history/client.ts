// Asks the node for history: addresses and requests, nothing of what is done with the answers.

import { ask, Refused } from '../api/client';
import type { Span } from './days';
import { MAX_FILE_POINTS } from './files';
import { PAGE_POINTS, type RouteRead, readRoute } from './paging';
import type { CoverageAnswer, RoutePage, TripsAnswer } from './wire';

export { Refused };

/** What history is read from; each call fails with `Refused`, or with an `AbortError` when it was called off. */
export interface HistorySource {
  route(key: string, span: Span, signal: AbortSignal, onProgress: (points: number) => void): Promise<RouteRead>;
  trips(key: string, span: Span, signal: AbortSignal): Promise<TripsAnswer>;
  coverage(key: string, signal: AbortSignal): Promise<CoverageAnswer>;
}

export const node: HistorySource = {
  route: (key, span, signal, onProgress) =>
    readRoute(
      (cursor, tolerance) => ask<RoutePage>(routeAddress(key, span, { limit: PAGE_POINTS, tolerance, cursor }), signal),
      onProgress,
    ),
  trips: (key, span, signal) => ask(address(key, 'trips', spanParameters(span)), signal),
  coverage: (key, signal) => ask(address(key, 'coverage', {}), signal),
};

/** Where the reports of a span that fits into a file can be downloaded from. */
export function fileAddress(key: string, span: Span, format: 'gpx' | 'geojson'): string {
  return routeAddress(key, span, { limit: MAX_FILE_POINTS, format });
}

type Parameters = Record<string, string | number | null>;

function routeAddress(key: string, span: Span, more: Parameters): string {
  return address(key, 'route', { ...spanParameters(span), ...more });
}

function spanParameters({ start, end }: Span): Parameters {
  return { start_time: new Date(start).toISOString(), end_time: new Date(end).toISOString() };
}

/** `vehicle/12` and `trips` → `/api/v1/vehicles/12/trips?…`; parameters that are `null` are left out. */
function address(key: string, what: string, parameters: Parameters): string {
  const slash = key.indexOf('/');
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== null) asked.set(name, String(value));
  const query = asked.size > 0 ? `?${asked}` : '';
  return `/api/v1/${key.slice(0, slash)}s/${encodeURIComponent(key.slice(slash + 1))}/${what}${query}`;
}
