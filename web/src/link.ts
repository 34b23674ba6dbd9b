// The address of what is shown: `#vehicle/12@41.15000,-8.61000,14.0&day=2026-05-28&t=2026-05-28T13:05:12Z`; every part
// optional. `t` is a moment and wins over `day`: who opens the link in another time zone sees the same moment.

import { type Day, dayOf, isDay } from './history/days';

export interface ViewPlace {
  latitude: number;
  longitude: number;
  zoom: number;
}

export interface Link {
  key: string | null;
  view: ViewPlace | null;
  /** The day of history that is shown. */
  day: Day | null;
  /** Where its replay stands, ms since 1970. */
  time: number | null;
}

const MOMENT = /&(day|t)=([^&]*)/g;

export function readLink(hash: string): Link {
  const [key = '', view = ''] = hash.replace(/^#/, '').replace(MOMENT, '').split('@');
  const [latitude, longitude, zoom] = view.split(',').map(Number);
  const whole = [latitude, longitude, zoom].every((part) => part !== undefined && Number.isFinite(part));
  const slash = key.indexOf('/');
  return {
    key: slash > 0 && slash < key.length - 1 ? decode(key) : null,
    view: view && whole ? { latitude: latitude!, longitude: longitude!, zoom: zoom! } : null,
    ...readMoment(hash),
  };
}

function readMoment(hash: string): Pick<Link, 'day' | 'time'> {
  const parts = new Map([...hash.matchAll(MOMENT)].map(([, name, value]) => [name, value!]));
  const time = Date.parse(decode(parts.get('t') ?? ''));
  const day = parts.get('day') ?? '';
  if (!Number.isNaN(time)) return { day: dayOf(time), time };
  return { day: isDay(day) ? day : null, time: null };
}

export function writeLink({ key, view, day, time }: Link): string {
  const place = view ? `@${view.latitude.toFixed(5)},${view.longitude.toFixed(5)},${view.zoom.toFixed(2)}` : '';
  const moment = time === null ? '' : `&t=${new Date(time).toISOString().slice(0, 19)}Z`;
  const history = key === null || day === null ? '' : `&day=${day}${moment}`;
  return `#${key === null ? '' : key.split('/').map(encodeURIComponent).join('/')}${place}${history}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
