// Which local days have reports, from what the node tells of UTC days. A UTC day touches two local days at most,
// and its first and last report each lie in one of them, so the marks are exact.

import { type Day, dayOf } from './days';
import type { CoverageDay } from './wire';

/** Local days with reports, in order. */
export function daysWithReports(days: readonly CoverageDay[]): Day[] {
  const marked = new Set(days.flatMap(({ first, last }) => [dayOf(Date.parse(first)), dayOf(Date.parse(last))]));
  return [...marked].sort();
}

/** Where to go from a day without reports: the last day before it that has some, else the first one after it. */
export function nearestDay(days: readonly Day[], day: Day): Day | null {
  return days.findLast((other) => other < day) ?? days.find((other) => other > day) ?? null;
}
