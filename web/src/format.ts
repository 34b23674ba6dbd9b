// Numbers, times and places as people read them, in the reader's language and units.

import { type Day, daySpan } from './history/days';
import { strings } from './strings';

export const locale = typeof navigator === 'undefined' ? 'en' : navigator.language;
const usesMiles = /-(US|GB|LR|MM)\b/.test(locale);

const NUMBER = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 });
const WHOLE = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const TIME = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
const SHORT_CLOCK = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });
const LONG_DAY = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' });
const SHORT_DAY = new Intl.DateTimeFormat(locale, { weekday: 'short', day: 'numeric', month: 'short' });
const MONTH = new Intl.DateTimeFormat(locale, { month: 'long', year: 'numeric' });
const WEEKDAY = new Intl.DateTimeFormat(locale, { weekday: 'narrow' });
const LONG_WEEKDAY = new Intl.DateTimeFormat(locale, { weekday: 'long' });
const KM = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const KMH_PER_MPH = 1.609344;
const COMPASS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'];

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return strings.ago.seconds(seconds);
  if (seconds < 3600) return strings.ago.minutes(Math.floor(seconds / 60));
  if (seconds < 86_400) return strings.ago.hours(Math.floor(seconds / 3600));
  return strings.ago.days(Math.floor(seconds / 86_400));
}

export function speed(kmh: number): string {
  return usesMiles ? `${WHOLE.format(kmh / KMH_PER_MPH)} mph` : `${WHOLE.format(kmh)} km/h`;
}

export function metres(m: number): string {
  return usesMiles ? `${WHOLE.format(m / 0.3048)} ft` : `${WHOLE.format(m)} m`;
}

/** Long ways: km or miles; short ones in metres or feet. */
export function distance(length: number): string {
  // No way at all may arrive as minus nothing.
  const m = Math.max(length, 0);
  if (m < (usesMiles ? 300 : 1000)) return metres(m);
  return usesMiles ? `${KM.format(m / 1000 / KMH_PER_MPH)} mi` : `${KM.format(m / 1000)} km`;
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return strings.duration.seconds(whole);
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return strings.duration.minutes(minutes);
  return strings.duration.hours(Math.floor(minutes / 60), minutes % 60);
}

/** Speeds at which the colour of a trail changes, km/h: round figures in the reader's unit. */
export const SPEED_STEPS = usesMiles ? [5, 15, 30, 50].map((mph) => mph * KMH_PER_MPH) : [10, 30, 50, 80];

/** A speed as a bare figure, and its unit. */
export function speedFigure(kmh: number): string {
  return WHOLE.format(usesMiles ? kmh / KMH_PER_MPH : kmh);
}
export const SPEED_UNIT = usesMiles ? 'mph' : 'km/h';

/** Local time of day, with seconds. */
export function clock(ms: number): string {
  return CLOCK.format(ms);
}

/** Local time of day, without seconds. */
export function shortClock(ms: number): string {
  return SHORT_CLOCK.format(ms);
}

/** "28 May 2026" */
export function longDay(day: Day): string {
  return LONG_DAY.format(daySpan(day).start);
}

/** "Thu 28 May" */
export function shortDay(day: Day): string {
  return SHORT_DAY.format(daySpan(day).start);
}

/** "May 2026" */
export function monthOf(day: Day): string {
  return MONTH.format(daySpan(day).start);
}

/** One letter, and the whole word for who listens. */
export function weekdayName(day: Day): [short: string, long: string] {
  const { start } = daySpan(day);
  return [WEEKDAY.format(start), LONG_WEEKDAY.format(start)];
}

/** The reader's time zone, "Europe/Lisbon". */
export function zoneName(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll('_', ' ');
}

export function heading(degrees: number): string {
  return `${WHOLE.format(degrees)}° ${COMPASS[Math.round((((degrees % 360) + 360) % 360) / 45) % 8]}`;
}

export function place(latitude: number, longitude: number): string {
  return `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
}

export function whole(value: number): string {
  return WHOLE.format(value);
}

/** Local time; the date only when it is not today. */
export function localTime(rfc3339: string): string {
  const time = new Date(rfc3339);
  if (Number.isNaN(time.getTime())) return rfc3339;
  return time.toDateString() === new Date().toDateString() ? CLOCK.format(time) : TIME.format(time);
}

const UNITS: Record<string, string> = {
  pct: '%',
  percent: '%',
  km: 'km',
  m: 'm',
  kw: 'kW',
  kwh: 'kWh',
  c: '°C',
  v: 'V',
  kmh: 'km/h',
  s: 's',
};

/** `power_kw` and 22.4 → "Power", "22.4 kW". */
export function reading(name: string, value: unknown): [label: string, text: string] {
  const words = name.split(/[_\s]+/);
  const unit = words.length > 1 ? UNITS[words.at(-1)!.toLowerCase()] : undefined;
  const label = (unit ? words.slice(0, -1) : words).join(' ');
  const text =
    typeof value === 'number' ? NUMBER.format(value) : typeof value === 'string' ? value : JSON.stringify(value);
  return [label.charAt(0).toUpperCase() + label.slice(1), unit ? `${text} ${unit}` : text];
}
