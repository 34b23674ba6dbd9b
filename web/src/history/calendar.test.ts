import { expect, it } from 'vitest';
import { dayForKey, firstWeekdayOf, monthWeeks, sameMonth } from './calendar';

it('a month is six whole weeks from the first weekday', () => {
  const weeks = monthWeeks('2026-05-28', 1);
  expect(weeks.map((week) => week.length)).toEqual([7, 7, 7, 7, 7, 7]);
  expect(weeks[0]![0]).toBe('2026-04-27');
  expect(weeks.flat().filter((day) => sameMonth(day, '2026-05-01'))).toHaveLength(31);
  expect(monthWeeks('2026-05-28', 0)[0]![0]).toBe('2026-04-26');
});

it('keys move by day, week and month, and not beyond the last day', () => {
  const to = (key: string) => dayForKey(key, '2026-05-28', 1, '2026-06-02');
  expect(to('ArrowLeft')).toBe('2026-05-27');
  expect(to('ArrowDown')).toBe('2026-06-02');
  expect(to('Home')).toBe('2026-05-25');
  expect(to('End')).toBe('2026-05-31');
  expect(to('PageUp')).toBe('2026-04-28');
  expect(to('PageDown')).toBe('2026-06-02');
  expect(to('x')).toBeNull();
});

it('weeks begin as the reader is used to', () => {
  expect([firstWeekdayOf('de-DE'), firstWeekdayOf('en-US')]).toEqual([1, 0]);
});
