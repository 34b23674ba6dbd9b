// A day as files: as few as hold it, since the node puts so many reports into one file and no more.

import type { Span } from './days';
import type { RoutePoint } from './wire';

/** Reports in one file. */
export const MAX_FILE_POINTS = 50_000;

/** Spans that cover `span` side by side, each with no more reports than a file holds. `points` in order of time. */
export function fileSpans(points: readonly RoutePoint[], span: Span, most = MAX_FILE_POINTS): Span[] {
  const spans: Span[] = [];
  let { start } = span;
  let first = 0;
  while (points.length - first > most) {
    const cut = firstOfItsTime(points, first + most);
    // More reports of one moment than a file holds: they cannot be told apart by time.
    if (cut <= first) break;
    const time = timeOf(points, cut);
    spans.push({ start, end: time - 1 });
    start = time;
    first = cut;
  }
  return [...spans, { start, end: span.end }];
}

function firstOfItsTime(points: readonly RoutePoint[], index: number): number {
  const time = timeOf(points, index);
  let at = index;
  while (at > 0 && timeOf(points, at - 1) === time) at--;
  return at;
}

function timeOf(points: readonly RoutePoint[], index: number): number {
  return Date.parse(points[index]!.timestamp);
}
