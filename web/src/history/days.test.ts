import { afterEach, describe, expect, it } from 'vitest';
import { addDays, addMonths, dayOf, daySpan, isDay, weekday } from './days';

const HOUR_MS = 3_600_000;
const ZONE = process.env.TZ;

function inZone(zone: string): void {
  process.env.TZ = zone;
  expect(Intl.DateTimeFormat().resolvedOptions().timeZone).toBe(zone);
}

afterEach(() => {
  if (ZONE === undefined) delete process.env.TZ;
  else process.env.TZ = ZONE;
});

function hours(day: string): number {
  const { start, end } = daySpan(day);
  return (end + 1 - start) / HOUR_MS;
}

describe('a local day', () => {
  it('spans two UTC days away from Greenwich', () => {
    inZone('America/New_York');
    const { start, end } = daySpan('2026-05-28');
    expect(new Date(start).toISOString()).toBe('2026-05-28T04:00:00.000Z');
    expect(new Date(end).toISOString()).toBe('2026-05-29T03:59:59.999Z');
  });

  it('is an hour shorter or longer when clocks change', () => {
    inZone('Europe/Lisbon');
    expect([hours('2026-03-28'), hours('2026-03-29'), hours('2026-10-25')]).toEqual([24, 23, 25]);
  });

  it('begins where the clock begins when midnight is skipped', () => {
    inZone('Africa/Cairo');
    const { start } = daySpan('2026-04-24');
    expect(new Date(start).toISOString()).toBe('2026-04-23T22:00:00.000Z');
    expect([hours('2026-04-23'), hours('2026-04-24')]).toEqual([24, 23]);
  });

  it('follows on the day before without a hole, all year, wherever clocks change', () => {
    for (const zone of [
      'Europe/Berlin',
      'America/Sao_Paulo',
      'Australia/Lord_Howe',
      'America/St_Johns',
      'Africa/Cairo',
    ]) {
      inZone(zone);
      for (let day = '2026-01-01'; day < '2027-01-01'; day = addDays(day, 1)) {
        const { start, end } = daySpan(day);
        expect(daySpan(addDays(day, 1)).start).toBe(end + 1);
        expect([dayOf(start), dayOf(end)]).toEqual([day, day]);
      }
    }
  });

  it('counts over months, leap days and years', () => {
    expect(addDays('2026-12-31', 1)).toBe('2027-01-01');
    expect(addDays('2028-03-01', -1)).toBe('2028-02-29');
    expect(addMonths('2026-03-31', -1)).toBe('2026-02-28');
    expect(addMonths('2026-12-15', 2)).toBe('2027-02-15');
    expect(weekday('2026-05-28')).toBe(4);
  });

  it('is told from other text', () => {
    expect(['2026-05-28', '2028-02-29'].every(isDay)).toBe(true);
    expect(['2026-02-30', '2026-13-01', '2026-5-28', 'today', ''].some(isDay)).toBe(false);
  });
});
