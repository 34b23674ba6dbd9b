import { readFile, writeFile } from 'node:fs/promises';
import { api, expect, openAs, pick, rowAction, test } from './secured';

test('a station is made with what the definitions ask, found, narrowed and sorted', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'fleets', { id: 'f-1', name: 'North' });
  for (const [id, status] of [
    ['alpha', 'operational'],
    ['beta', 'degraded'],
  ]) {
    await asAdmin('POST', 'stations', { id, name: `Station ${id}`, latitude: 41, longitude: -8, capacity: 5, status });
  }
  await openAs(page, drover, admin, '#/admin/stations');
  await page.getByRole('button', { name: 'Add station' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('Please fill in.')).toHaveCount(1);
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Station gamma');
  await dialog.getByLabel('Latitude').fill('95');
  await dialog.getByLabel('Longitude').fill('-8.6');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('At most 90.')).toBeVisible();
  await dialog.getByLabel('Latitude').fill('41.15');
  await dialog.getByLabel('Capacity').fill('12');
  await pick(page, 'Fleet', 'North');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);

  const table = page.getByRole('table', { name: 'Stations' });
  const row = table.getByRole('row', { name: /Station gamma/ });
  await expect(row).toContainText('North');
  await expect(row).toContainText('Operational');
  await table.getByRole('button', { name: 'Capacity' }).click();
  await table.getByRole('button', { name: 'Capacity' }).click();
  await expect(table.getByRole('columnheader', { name: 'Capacity' })).toHaveAttribute('aria-sort', 'descending');
  await expect(table.getByRole('row').nth(1)).toContainText('Station gamma');

  await page.getByRole('button', { name: 'Filters' }).click();
  await page.getByLabel('Status').click();
  await page.getByRole('option', { name: 'Degraded' }).click();
  await expect(table.getByRole('row')).toHaveCount(2);
  await expect(table).toContainText('Station beta');
  // The address holds it all: a link shows the same, and so does the way back.
  await table.getByRole('link', { name: 'Station beta' }).click();
  await expect(page.getByRole('heading', { name: 'Station beta' })).toBeVisible();
  await page.goBack();
  await expect(table.getByRole('row')).toHaveCount(2);
  await expect(page.getByRole('button', { name: 'Filters (1)' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(table.getByRole('row')).toHaveCount(4);
});

test('organisations, fleets and depots belong together by their names', async ({ page, drover, admin }) => {
  await openAs(page, drover, admin, '#/admin/organisations');
  const dialog = page.getByRole('dialog');
  const add = async (button: string) => page.getByRole('button', { name: button }).first().click();
  const save = async () => {
    await dialog.getByRole('button', { name: 'Save' }).click();
    await expect(dialog).toHaveCount(0);
  };
  const section = (name: string) =>
    page.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name });
  await add('Add organisation');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Carriers of Porto');
  await save();
  await section('Fleets').click();
  await add('Add fleet');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('North');
  await pick(page, 'Organisation', 'Carriers of Porto');
  await save();
  await expect(page.getByRole('table', { name: 'Fleets' })).toContainText('Carriers of Porto');
  await section('Depots').click();
  await add('Add depot');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Harbour');
  await dialog.getByLabel('Latitude').fill('41.2');
  await dialog.getByLabel('Longitude').fill('-8.7');
  await pick(page, 'Fleet', 'North');
  await dialog.getByLabel('More (JSON)').fill('{"gates": 3}');
  await save();
  await page.getByRole('link', { name: 'Harbour' }).click();
  await expect(page.getByRole('region', { name: 'Fields' })).toContainText('"gates": 3');
  await page.getByRole('link', { name: 'North' }).click();
  await expect(page.getByRole('heading', { name: 'North' })).toBeVisible();
  const depots = page
    .getByRole('region', { name: 'Belongs to it' })
    .getByRole('listitem')
    .filter({ hasText: 'Depots' });
  await expect(depots).toContainText('1');
});

test('a driver has a vehicle for a time, and not two at once', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'drivers', { id: 'd-1', name: 'Dora Dias' });
  await asAdmin('POST', 'drivers', { id: 'd-2', name: 'Emil Egger' });
  await asAdmin('POST', 'vehicles', { id: 'v-1', registration_number: 'AA-11-BB' });
  await openAs(page, drover, admin, '#/admin/assignments');
  const dialog = page.getByRole('dialog');
  for (const [name, works] of [
    ['Dora Dias', true],
    ['Emil Egger', false],
  ] as const) {
    await page.getByRole('button', { name: 'Add assignment' }).first().click();
    await pick(page, 'Driver', name);
    await pick(page, 'Vehicle', 'AA-11-BB');
    await dialog.getByLabel('From').fill('2026-01-31T08:00');
    await dialog.getByRole('button', { name: 'Save' }).click();
    if (works) await expect(dialog).toHaveCount(0);
    else await expect(dialog.getByText(/is taken by the assignment/)).toBeVisible();
  }
  // Bounded, before the other begins.
  await dialog.getByLabel('From').fill('2026-01-30T08:00');
  await dialog.getByLabel('Until').fill('2026-01-30T18:00');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);
  const table = page.getByRole('table', { name: 'Assignments' });
  await expect(table.getByRole('row')).toHaveCount(3);
  await table
    .getByRole('row', { name: /Dora Dias/ })
    .getByRole('link', { name: 'AA-11-BB' })
    .click();
  await expect(page.getByRole('heading', { name: 'AA-11-BB' })).toBeVisible();
  const related = page.getByRole('region', { name: 'Belongs to it' });
  await expect(related.getByRole('listitem').filter({ hasText: 'Assignments' })).toContainText('2');
  await expect(related.getByRole('listitem').filter({ hasText: 'Drivers' })).toContainText('1');
});

test('a route is put together of stops in their order', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'stations', { id: 's-1', name: 'Ribeira', latitude: 41.14, longitude: -8.61 });
  await asAdmin('POST', 'drivers', { id: 'd-1', name: 'Dora Dias' });
  await openAs(page, drover, admin, '#/admin/routes');
  await page.getByRole('button', { name: 'Add route' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).first().fill('Morning round');
  await dialog.getByLabel('Date').fill('2026-11-23');
  await pick(page, 'Driver', 'Dora Dias');
  await dialog.getByRole('button', { name: 'Add stop' }).click();
  const stop = (n: number) => dialog.getByRole('listitem', { name: `Stop ${n}` });
  await stop(1).getByRole('combobox', { name: 'Station' }).fill('Rib');
  await page.getByRole('option', { name: 'Ribeira' }).click();
  // What is known of the station need not be typed.
  await expect(stop(1).getByLabel('Latitude')).toHaveValue('41.14');
  await expect(stop(1).getByRole('textbox', { name: 'Name' })).toHaveValue('Ribeira');
  await dialog.getByRole('button', { name: 'Add stop' }).click();
  await stop(2).getByRole('textbox', { name: 'Name' }).fill('Mercado');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(stop(2).getByText('Please fill in.')).toBeVisible();
  await stop(2).getByLabel('Latitude').fill('41.15');
  await stop(2).getByLabel('Longitude').fill('-8.6');
  await dialog.getByRole('button', { name: 'Move 2 up' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);

  await page.getByRole('link', { name: 'Morning round' }).click();
  const stops = page.getByRole('region', { name: 'Stops' }).getByRole('listitem');
  await expect(stops.nth(0)).toContainText('Mercado');
  await expect(stops.nth(1)).toContainText('Ribeira');
  const [route] = await asAdmin<{ stops: object[] }[]>('GET', 'routes');
  expect(route!.stops).toMatchObject([
    { sequence: 1, name: 'Mercado' },
    { sequence: 2, name: 'Ribeira', station_id: 's-1' },
  ]);
  await page.getByRole('button', { name: 'Change' }).click();
  await dialog.getByRole('button', { name: 'Take 1 away' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(stops).toHaveCount(1);
});

test('what was done to a vehicle is noted, and found from the vehicle', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  for (const n of [1, 2]) await asAdmin('POST', 'vehicles', { id: `v-${n}`, registration_number: `AA-0${n}-BB` });
  await asAdmin('POST', 'maintenance', { vehicle_id: 'v-2', date: '2026-11-01', kind: 'tyres' });
  await openAs(page, drover, admin, '#/admin/maintenance');
  await page.getByRole('button', { name: 'Add maintenance record' }).click();
  const dialog = page.getByRole('dialog');
  await pick(page, 'Vehicle', 'AA-01-BB');
  await dialog.getByLabel('Date').fill('2026-11-20');
  await dialog.getByLabel('Kind').click();
  await page.getByRole('option', { name: 'Repair' }).click();
  await dialog.getByLabel('Cost').fill('180.5');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);
  await page.goto(`${drover.url}/#/admin/vehicles/v-1`);
  await page.getByRole('region', { name: 'Belongs to it' }).getByRole('link', { name: 'Maintenance' }).click();
  const table = page.getByRole('table', { name: 'Maintenance' });
  await expect(table.getByRole('row')).toHaveCount(2);
  await expect(table).toContainText('Repair');
  await expect(page.getByRole('combobox', { name: 'Vehicle' })).toHaveValue('AA-01-BB');
});

test('when somebody else was faster, both versions are shown and one is chosen', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  const vehicle = () => asAdmin<Record<string, unknown>>('GET', 'vehicles/v-1');
  await asAdmin('POST', 'vehicles', { id: 'v-1', registration_number: 'AA-1-XY', model: 'Old' });
  await openAs(page, drover, admin, '#/admin/vehicles');
  const form = page.getByRole('dialog', { name: /^Change vehicle/ });
  const conflict = page.getByRole('dialog', { name: 'Somebody else has changed AA-1-XY' });
  const change = async (fields: Record<string, string>) => {
    await rowAction(page, 'AA-1-XY', 'Change');
    for (const [label, text] of Object.entries(fields)) await form.getByLabel(label, { exact: true }).fill(text);
  };
  await change({ Model: 'Mine', Make: 'Only mine' });
  await asAdmin('PATCH', 'vehicles/v-1', { model: 'Theirs', status: 'idle' });
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(conflict.getByRole('group', { name: 'Model' })).toContainText('Mine');
  await expect(conflict.getByRole('group', { name: 'Model' })).toContainText('Theirs');
  await expect(conflict).toContainText('Status: only they changed it, to Idle.');
  // Once more, while it is being chosen.
  await asAdmin('PATCH', 'vehicles/v-1', { model: 'Theirs again' });
  await conflict.getByRole('button', { name: 'Keep mine' }).click();
  await expect(conflict).toContainText('Theirs again');
  await conflict.getByRole('button', { name: 'Keep mine' }).click();
  await expect(page.getByRole('dialog')).toHaveCount(0);
  expect(await vehicle()).toMatchObject({ model: 'Mine', make: 'Only mine', status: 'idle' });

  await change({ Model: 'Mine, later', Make: 'Also later' });
  await asAdmin('PATCH', 'vehicles/v-1', { model: 'Theirs, later', make: 'Theirs too' });
  await form.getByRole('button', { name: 'Save' }).click();
  await conflict.getByRole('group', { name: 'Make' }).getByLabel('Yours').check();
  await conflict.getByRole('button', { name: 'Save as chosen' }).click();
  await expect(page.getByRole('dialog')).toHaveCount(0);
  expect(await vehicle()).toMatchObject({ model: 'Theirs, later', make: 'Also later' });

  await change({ Model: 'Never' });
  await asAdmin('PATCH', 'vehicles/v-1', { model: 'Last' });
  await form.getByRole('button', { name: 'Save' }).click();
  await conflict.getByRole('button', { name: 'Take theirs' }).click();
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page.getByRole('table', { name: 'Vehicles' })).toContainText('Last');
});

test('a file is looked through first; refused rows say why and hold up no other', async ({
  page,
  drover,
  admin,
}, info) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'vehicles', { id: 'v-1', registration_number: 'AA-1', model: 'Old' });
  const file = info.outputPath('vehicles.csv');
  const rows = ['id,registration_number,class,model', 'v-1,AA-1,van,New', 'v-2,AA-2,boat,', 'v-3,AA-3,car,Small'];
  await writeFile(file, `${rows.join('\n')}\n`);
  await openAs(page, drover, admin, '#/admin/vehicles');
  await page.getByRole('button', { name: 'Import CSV' }).click();
  const dialog = page.getByRole('dialog', { name: 'Import vehicles' });
  const template = page.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Empty file with the columns' }).click();
  expect(await readFile((await (await template).path())!, 'utf8')).toMatch(/^id,registration_number,vin,/);
  await dialog.getByLabel('CSV file').setInputFiles(file);
  await expect(dialog.getByRole('status')).toHaveText('Looked through 3 rows: 1 new, 1 changed, 1 refused');
  const refused = dialog.getByRole('table', { name: 'Refused rows' }).getByRole('row').nth(1);
  for (const said of ['3', 'class', 'boat']) await expect(refused).toContainText(said);
  expect(await asAdmin<unknown[]>('GET', 'vehicles')).toHaveLength(1);
  const download = page.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Refused rows as CSV' }).click();
  expect(await readFile((await (await download).path())!, 'utf8')).toContain('"3","class","boat"');
  await dialog.getByRole('button', { name: 'Take 2 rows' }).click();
  await expect(dialog.getByRole('status')).toHaveText('Took 3 rows: 1 new, 1 changed, 1 refused');
  await dialog.getByRole('button', { name: 'Close' }).click();
  const table = page.getByRole('table', { name: 'Vehicles' });
  await expect(table.getByRole('row')).toHaveCount(3);

  await page.getByLabel('Search: Vehicles').fill('AA-3');
  await expect(table.getByRole('row')).toHaveCount(2);
  const exported = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Export these as CSV' }).click();
  const text = await readFile((await (await exported).path())!, 'utf8');
  expect(text.trim().split('\n')).toHaveLength(2);
  expect(text).toContain('v-3,AA-3');

  await writeFile(file, 'no such field\n1\n');
  await page.getByRole('button', { name: 'Import CSV' }).click();
  await dialog.getByLabel('CSV file').setInputFiles(file);
  await expect(dialog.getByRole('alert')).toBeVisible();
});
