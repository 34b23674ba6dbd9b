import { describe, expect, it } from 'vitest';
import { firstWrong, newBody, startValues } from '../page/fields';
import { askedOf } from './asked';
import { RECORD_NAMES, RESOURCES, referrers } from './definitions';
import { formFields, labelOf, SHOWN } from './shown';

const everything = () => true;

describe('how records are shown', () => {
  it.each(RECORD_NAMES)('%s: only fields that there are', (name) => {
    const { fields, sortable } = RESOURCES[name];
    const shown = SHOWN[name];
    const known = [...fields.map((field) => field.name), 'created_at', 'updated_at'];
    const named = [...shown.name, ...shown.columns, ...(shown.long ?? []), ...(shown.hint ? [shown.hint] : [])];
    for (const one of named) expect(known, `${name}.${one}`).toContain(one);
    if (shown.sort) expect(sortable).toContain(shown.sort.replace('-', ''));
  });

  it.each(RECORD_NAMES)('%s: a form asks for all that can be written, and for nothing else', (name) => {
    const asked = formFields(RESOURCES[name], everything).map((field) => field.name);
    expect(asked).toEqual([
      'id',
      ...RESOURCES[name].fields.filter(({ writable }) => writable).map((field) => field.name),
    ]);
  });

  it('words, limits and what is required come from the definitions', () => {
    const fields = formFields(RESOURCES.stations, everything);
    const field = (name: string) => fields.find((one) => one.name === name)!;
    expect(field('latitude')).toMatchObject({ kind: 'number', required: true, min: -90, max: 90 });
    expect(field('capacity')).toMatchObject({ kind: 'integer', required: false, min: 0 });
    expect(field('status').choices?.map(({ value }) => value)).toEqual(
      RESOURCES.stations.fields.find(({ name }) => name === 'status')!.words,
    );
    expect(field('status').start).toBe('operational');
    expect(field('fleet_id').kind).toBe('lookup');
    expect(formFields(RESOURCES.stations, () => false).find(({ name }) => name === 'fleet_id')!.kind).toBe('text');
    expect(firstWrong(fields, startValues(fields, null))).toEqual({ at: 'name', what: 'required' });
  });

  it('stops are numbered as they stand', () => {
    const fields = formFields(RESOURCES.routes, everything);
    const stops = [
      { latitude: '1', longitude: '2' },
      { latitude: '3', longitude: '4' },
    ];
    const body = newBody(fields, { ...startValues(fields, null), date: '2026-11-22', stops });
    expect(SHOWN.routes.sent!(body).stops).toEqual([
      { latitude: 1, longitude: 2, sequence: 1 },
      { latitude: 3, longitude: 4, sequence: 2 },
    ]);
  });

  it('names of fields are made readable, with their units', () => {
    expect(['capacity_kg', 'depot_id', 'odometer_km', 'registration_number'].map(labelOf)).toEqual([
      ...['Capacity (kg)', 'Depot', 'Odometer (km)', 'Registration'],
    ]);
  });

  it('what refers to a record is known', () => {
    const found = referrers('vehicles').map(({ resource, field }) => `${resource.name}.${field}`);
    expect(found).toContain('maintenance.vehicle_id');
    expect(found).toContain('assignments.vehicle_id');
  });
});

describe('what a list is asked for', () => {
  it('is read from the address; filters count, order and page do not', () => {
    const asked = askedOf(RESOURCES.routes, 'q=north&status=active&page=3&sort=name');
    expect(asked).toMatchObject({ q: 'north', page: 3, sort: 'name', filters: 1 });
    expect(asked.parameters).toEqual({ q: 'north', status: 'active', page: 3, sort: 'name' });
    expect(asked.narrowing).toEqual({ q: 'north', status: 'active' });
  });

  it('has an order where none is named, and no page that cannot be', () => {
    expect(askedOf(RESOURCES.routes, 'page=-1')).toMatchObject({ page: 1, sort: '-date' });
    expect(askedOf(RESOURCES.vehicles, '')).toMatchObject({ page: 1, sort: 'id' });
  });

  it('moments are the reader’s own time; what is none yet is left out', () => {
    const asked = (at: string) =>
      askedOf(RESOURCES.assignments, new URLSearchParams({ 'starts_at[gte]': at }).toString());
    expect(asked('2026-11-22T10:00').parameters['starts_at[gte]']).toBe(new Date('2026-11-22T10:00').toISOString());
    expect(asked('soon').parameters['starts_at[gte]']).toBeNull();
  });
});
