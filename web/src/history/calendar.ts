// A month as weeks of days, and where a key leads in it.

import { addDays, addMonths, type Day, weekday } from './days';

/** Whole weeks that hold the day's month, always six so that the calendar keeps its height. */
export function monthWeeks(day: Day, firstWeekday: number): Day[][] {
  const first = `${day.slice(0, 8)}01`;
  const start = addDays(first, -((weekday(first) - firstWeekday + 7) % 7));
  return Array.from({ length: 6 }, (_, week) => Array.from({ length: 7 }, (_, at) => addDays(start, week * 7 + at)));
}

export function sameMonth(a: Day, b: Day): boolean {
  return a.slice(0, 7) === b.slice(0, 7);
}

/** The day that a key of the calendar leads to, never later than `last`; `null` for other keys. */
export function dayForKey(key: string, day: Day, firstWeekday: number, last: Day): Day | null {
  const intoWeek = (weekday(day) - firstWeekday + 7) % 7;
  const moves: Record<string, Day> = {
    ArrowLeft: addDays(day, -1),
    ArrowRight: addDays(day, 1),
    ArrowUp: addDays(day, -7),
    ArrowDown: addDays(day, 7),
    Home: addDays(day, -intoWeek),
    End: addDays(day, 6 - intoWeek),
    PageUp: addMonths(day, -1),
    PageDown: addMonths(day, 1),
  };
  const next = moves[key];
  if (next === undefined) return null;
  return next > last ? last : next;
}

/** The reader's first day of the week, 0 is Sunday; Monday where the browser does not know. */
export function firstWeekdayOf(locale: string): number {
  const known = new Intl.Locale(locale) as Intl.Locale & {
    getWeekInfo?: () => { firstDay: number };
    weekInfo?: { firstDay: number };
  };
  return ((known.getWeekInfo?.() ?? known.weekInfo)?.firstDay ?? 1) % 7;
}
