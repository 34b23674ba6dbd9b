import { afterEach, expect, it } from 'vitest';
import { daysWithReports, nearestDay } from './coverage';

const ZONE = process.env.TZ;
afterEach(() => {
  if (ZONE === undefined) delete process.env.TZ;
  else process.env.TZ = ZONE;
});

function covered(day: string, first: string, last: string) {
  return { day, reports: 2, first: `${day}T${first}Z`, last: `${day}T${last}Z` };
}

it('a UTC day marks the local days of its first and last report', () => {
  process.env.TZ = 'America/New_York';
  expect(daysWithReports([covered('2026-05-28', '02:00:00', '03:00:00')])).toEqual(['2026-05-27']);
  expect(daysWithReports([covered('2026-05-28', '02:00:00', '20:00:00')])).toEqual(['2026-05-27', '2026-05-28']);
  process.env.TZ = 'Asia/Tokyo';
  expect(
    daysWithReports([covered('2026-05-28', '14:59:59', '15:00:00'), covered('2026-05-29', '00:00:00', '01:00:00')]),
  ).toEqual(['2026-05-28', '2026-05-29']);
});

it('an empty day leads to the last day before it, else to the next', () => {
  const days = ['2026-05-20', '2026-05-27'];
  expect(nearestDay(days, '2026-05-28')).toBe('2026-05-27');
  expect(nearestDay(days, '2026-05-25')).toBe('2026-05-20');
  expect(nearestDay(days, '2026-05-01')).toBe('2026-05-20');
  expect(nearestDay([], '2026-05-01')).toBeNull();
});
