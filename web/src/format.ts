// Numbers, times and places as people read them, in the reader's language and units.

import { strings } from './strings';

const locale = typeof navigator === 'undefined' ? 'en' : navigator.language;
const usesMiles = /-(US|GB|LR|MM)\b/.test(locale);

const NUMBER = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 });
const WHOLE = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const TIME = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
const COMPASS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'];

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return strings.ago.seconds(seconds);
  if (seconds < 3600) return strings.ago.minutes(Math.floor(seconds / 60));
  if (seconds < 86_400) return strings.ago.hours(Math.floor(seconds / 3600));
  return strings.ago.days(Math.floor(seconds / 86_400));
}

export function speed(kmh: number): string {
  return usesMiles ? `${WHOLE.format(kmh / 1.609344)} mph` : `${WHOLE.format(kmh)} km/h`;
}

export function metres(m: number): string {
  return usesMiles ? `${WHOLE.format(m / 0.3048)} ft` : `${WHOLE.format(m)} m`;
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
