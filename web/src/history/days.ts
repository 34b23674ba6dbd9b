// Days as the reader lives them: a local calendar day and the stretch of time it covers, which is 23 or 25 hours
// long when clocks change and lies in one or two UTC days. Nothing here knows of reports.

/** A local calendar day, `2026-05-28`. */
export type Day = string;

export interface Span {
  /** ms since 1970 */
  start: number;
  /** ms since 1970; whether it still belongs to the span is said where a span is returned */
  end: number;
}

const SHAPE = /^(\d{4})-(\d\d)-(\d\d)$/;

export function dayOf(ms: number): Day {
  const time = new Date(ms);
  return written(time.getFullYear(), time.getMonth(), time.getDate());
}

/** First and last millisecond of the day, both inside it. */
export function daySpan(day: Day): Span {
  return { start: midnight(day), end: midnight(addDays(day, 1)) - 1 };
}

export function addDays(day: Day, days: number): Day {
  const [year, month, date] = parts(day);
  return fromUtc(new Date(Date.UTC(year, month, date + days)));
}

/** The same date in another month, or that month's last day. */
export function addMonths(day: Day, months: number): Day {
  const [year, month, date] = parts(day);
  const last = new Date(Date.UTC(year, month + months + 1, 0)).getUTCDate();
  return fromUtc(new Date(Date.UTC(year, month + months, Math.min(date, last))));
}

/** 0 is Sunday. */
export function weekday(day: Day): number {
  return new Date(Date.UTC(...parts(day))).getUTCDay();
}

/** Whether the text names a day of the calendar; `2026-02-30` does not. */
export function isDay(text: string): boolean {
  return SHAPE.test(text) && addDays(text, 0) === text;
}

/** Midnight, or the first moment of the day where clocks jump over midnight. */
function midnight(day: Day): number {
  return new Date(...parts(day)).getTime();
}

function parts(day: Day): [year: number, month: number, date: number] {
  const [, year, month, date] = SHAPE.exec(day) ?? [];
  return [Number(year), Number(month) - 1, Number(date)];
}

function fromUtc(time: Date): Day {
  return written(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate());
}

function written(year: number, month: number, date: number): Day {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${String(year).padStart(4, '0')}-${two(month + 1)}-${two(date)}`;
}
