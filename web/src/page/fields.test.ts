import { describe, expect, it } from 'vitest';
import { changedBody, type Field, firstWrong, newBody, startValues } from './fields';

const FIELDS: Field[] = [
  { name: 'id', label: 'Id', kind: 'text', onlyNew: true },
  { name: 'plate', label: 'Plate', kind: 'text', required: true },
  { name: 'status', label: 'Status', kind: 'choice', required: true, choices: [{ value: 'active', label: 'Active' }] },
  { name: 'fleet_id', label: 'Fleet', kind: 'choice' },
  { name: 'weight_kg', label: 'Weight', kind: 'number' },
  { name: 'scopes', label: 'Scopes', kind: 'choices' },
  { name: 'all', label: 'All', kind: 'flag' },
  { name: 'window_end', label: 'Not after', kind: 'moment' },
];
const EMPTY = startValues(FIELDS, null);

describe('a new record', () => {
  it('starts with the first choice of what is required, and with nothing else', () => {
    expect(EMPTY).toEqual({
      ...{ id: '', plate: '', status: 'active', fleet_id: '', weight_kg: '', scopes: [], all: false, window_end: '' },
    });
  });

  it('is sent without what was left empty, numbers as numbers', () => {
    const body = newBody(FIELDS, { ...EMPTY, plate: ' AA-12 ', weight_kg: '0', scopes: ['a'] });
    expect(body).toEqual({ plate: 'AA-12', status: 'active', weight_kg: 0, scopes: ['a'], all: false });
  });

  it('misses what is required and empty or blank', () => {
    expect(firstWrong(FIELDS, EMPTY)).toEqual({ at: 'plate', what: 'required' });
    expect(firstWrong(FIELDS, { ...EMPTY, plate: '  ' })?.at).toBe('plate');
    expect(firstWrong(FIELDS, { ...EMPTY, plate: 'AA' })).toBeUndefined();
    expect(firstWrong([{ ...FIELDS[5]!, required: true }], EMPTY)?.at).toBe('scopes');
  });

  it('is told where a number is out of its limits, and what is no number of its sort', () => {
    const field: Field = { name: 'n', label: 'N', kind: 'integer', min: 0, max: 5 };
    const wrong = (n: string) => firstWrong([field], { n })?.what;
    expect(['', '0', '5', '-1', '6', '1.5'].map(wrong)).toEqual([
      ...[undefined, undefined, undefined, 'least', 'most', 'whole'],
    ]);
  });

  it('starts with what the node takes where nothing is said', () => {
    const field: Field = { name: 'status', label: 'Status', kind: 'choice', start: 'operational' };
    expect(startValues([field], null)).toEqual({ status: 'operational' });
    expect(startValues([field], { status: null })).toEqual({ status: '' });
  });

  it('may hold a JSON object, and lists of things with fields of their own', () => {
    const json: Field = { name: 'attributes', label: 'More', kind: 'json' };
    expect(['{"a":1}', '[1]', '{', '3', ''].map((attributes) => firstWrong([json], { attributes })?.what)).toEqual([
      ...[undefined, 'json', 'json', 'json', undefined],
    ]);
    const stops: Field = {
      ...{ name: 'stops', label: 'Stops', kind: 'list' },
      items: [
        { name: 'latitude', label: 'Latitude', kind: 'number', required: true, min: -90, max: 90 },
        { name: 'name', label: 'Name', kind: 'text' },
      ],
    };
    const values = startValues([stops, json], {
      stops: [{ latitude: 41, name: null }, { latitude: 42 }],
      attributes: {},
    });
    expect(newBody([stops, json], values)).toEqual({ stops: [{ latitude: 41 }, { latitude: 42 }], attributes: {} });
    expect(changedBody([stops, json], values, values)).toEqual({});
    const wrong = {
      ...values,
      stops: [
        { latitude: '41', name: '' },
        { latitude: '91', name: '' },
      ],
    };
    expect(firstWrong([stops], wrong)).toEqual({ at: 'stops.1.latitude', what: 'most', limit: 90 });
  });
});

describe('a changed record', () => {
  const record = { id: 'v-1', plate: 'AA', status: 'active', fleet_id: 'f-1', weight_kg: 3, scopes: ['a'], all: true };
  const before = startValues(FIELDS, record);

  it('sends only what is not as it was, and what was emptied as null', () => {
    expect(changedBody(FIELDS, before, before)).toEqual({});
    const after = { ...before, id: 'v-2', plate: 'BB', fleet_id: '', weight_kg: '', scopes: [], all: false };
    expect(changedBody(FIELDS, before, after)).toEqual({
      ...{ plate: 'BB', fleet_id: null, weight_kg: null, scopes: [], all: false },
    });
  });

  it('does not change a moment that was only shown', () => {
    const shown = startValues(FIELDS, { window_end: '2026-11-22T10:30:45Z' });
    expect(changedBody(FIELDS, shown, shown)).toEqual({});
    const text = String(shown.window_end);
    expect(newBody(FIELDS, shown).window_end).toBe('2026-11-22T10:30:00.000Z');
    expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:30$/);
  });
});
