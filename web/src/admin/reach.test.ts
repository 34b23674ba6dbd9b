import { expect, it } from 'vitest';
import { reachChanged, reachFields, reachStart } from './reach';

it('who reaches some fleets names one of them, and gives not all', () => {
  const fleets = [{ value: 'north', label: 'North' }];
  expect(reachFields({ all_fleets: true }, fleets).map(({ name, required }) => [name, required])).toEqual([
    ['all_fleets', undefined],
    ['fleets', false],
  ]);
  expect(reachFields({ all_fleets: false }, fleets).map(({ name, required }) => [name, required])).toEqual([
    ['fleets', true],
  ]);
  expect(reachStart({ fleets: ['north'], all_fleets: false })).toEqual({ fleets: ['north'] });
  expect(reachStart({ fleets: ['north', 'south'], all_fleets: false })).toBeNull();
  expect(reachStart({ fleets: [], all_fleets: true })).toBeNull();
});

it('with another role or other fleets goes whether all fleets are meant, as the form shows it', () => {
  const ofAll = { fleets: [], all_fleets: true };
  expect(reachChanged({ role: 'auditor' }, ofAll)).toEqual({ role: 'auditor', all_fleets: true, fleets: [] });
  expect(reachChanged({ fleets: ['north'], all_fleets: false }, ofAll)).toEqual({
    fleets: ['north'],
    all_fleets: false,
  });
  const ofNorth = { fleets: ['north'], all_fleets: false };
  expect(reachChanged({ fleets: ['south'] }, ofNorth)).toEqual({ fleets: ['south'], all_fleets: false });
  expect(reachChanged({ name: 'Ada' }, ofAll)).toEqual({ name: 'Ada' });
});
