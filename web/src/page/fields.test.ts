import { describe, expect, it } from 'vitest';
import { changedBody, type Field, missing, newBody, startValues } from './fields';

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
const EMPTY = startValues(FIELDS, {});

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
    expect(missing(FIELDS, EMPTY)?.name).toBe('plate');
    expect(missing(FIELDS, { ...EMPTY, plate: '  ' })?.name).toBe('plate');
    expect(missing(FIELDS, { ...EMPTY, plate: 'AA' })).toBeUndefined();
    expect(missing([{ ...FIELDS[5]!, required: true }], EMPTY)?.name).toBe('scopes');
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
