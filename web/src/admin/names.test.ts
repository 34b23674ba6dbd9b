import { afterEach, expect, it, vi } from 'vitest';
import { isAbsent, knowNames, lookupOf } from './names';

const listed = (rows: object[], total = rows.length) =>
  Response.json({ data: rows, meta: { pagination: { page: 1, limit: 1_000, total } } });
const find = (text: string) => lookupOf('customers').find(text, new AbortController().signal);

afterEach(() => vi.unstubAllGlobals());

it('sealed names are found among those that were looked through; if there are more, that is said', async () => {
  const rows = [
    { id: 'c-1', name: 'Carla Costa' },
    { id: 'c-2', name: 'Rui Reis' },
  ];
  let total = 2;
  vi.stubGlobal('fetch', async (url: string) => (url.includes('q=') ? listed([]) : listed(rows, total)));
  const { choices, note } = await find('carla');
  expect(choices.map(({ value }) => value)).toEqual(['c-1']);
  expect(note).toBeUndefined();
  total = 1_001;
  expect((await find('carla')).note).toMatch(/first 1.?000 only; type the id/);
});

it('what is not within reach is known to be absent, what could not be asked for is not', async () => {
  vi.stubGlobal('fetch', async () => listed([{ id: 'f-1', name: 'North' }]));
  await knowNames(
    [
      ['fleets', 'f-1'],
      ['fleets', 'f-2'],
    ],
    () => true,
  );
  expect([isAbsent('fleets', 'f-1'), isAbsent('fleets', 'f-2')]).toEqual([false, true]);
  vi.stubGlobal('fetch', async () => Response.json({}, { status: 503 }));
  await knowNames([['fleets', 'f-3']], () => true);
  expect(isAbsent('fleets', 'f-3')).toBe(false);
});
