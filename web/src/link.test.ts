import { expect, it } from 'vitest';
import { dayOf } from './history/days';
import { readLink, writeLink } from './link';

const VIEW = { latitude: 41.15, longitude: -8.61, zoom: 14 };
const NOTHING = { key: null, view: null, day: null, time: null };
const TIME = Date.parse('2026-05-28T13:05:12Z');

it('reads what it wrote, whatever is in the id', () => {
  for (const key of ['vehicle/12', 'driver/a b@c/d', 'other/a&day=b&t=1', 'station/ü', null]) {
    for (const view of [VIEW, null]) {
      expect(readLink(writeLink({ ...NOTHING, key, view }))).toEqual({ ...NOTHING, key, view });
    }
  }
});

it('reads the day and the moment it wrote, with and without a view', () => {
  for (const view of [VIEW, null]) {
    for (const time of [TIME, null]) {
      const link = { key: 'driver/a&b', view, day: dayOf(TIME), time };
      expect(readLink(writeLink(link))).toEqual(link);
    }
  }
  expect(writeLink({ key: 'vehicle/12', view: null, day: '2026-05-28', time: TIME + 700 })).toBe(
    '#vehicle/12&day=2026-05-28&t=2026-05-28T13:05:12Z',
  );
});

it('the moment decides the day where the link comes from another time zone', () => {
  const time = new Date(2026, 4, 29, 0, 30).getTime();
  expect(readLink(`#vehicle/1&day=2026-05-28&t=${new Date(time).toISOString()}`)).toMatchObject({
    day: '2026-05-29',
    time,
  });
});

it('writes no day without an asset', () => {
  expect(writeLink({ ...NOTHING, day: '2026-05-28', time: TIME })).toBe('#');
});

it('takes nothing from nonsense', () => {
  for (const hash of [
    '',
    '#',
    '#vehicle',
    '#/12',
    '#@1,2',
    '#@a,b,c',
    '#vehicle/',
    '#&day=yesterday&t=noon',
    '#&day=',
  ]) {
    expect(readLink(hash)).toEqual(NOTHING);
  }
});
