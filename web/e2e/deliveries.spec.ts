import { readFile } from 'node:fs/promises';
import { api, expect, makeUser, openAs, pick, rowAction, test } from './secured';

test('a delivery goes only where it can go from where it is, and its history tells it', async ({
  page,
  drover,
  admin,
}) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'drivers', { id: 'd-1', name: 'Dora Dias' });
  await asAdmin('POST', 'deliveries', { id: 'del-1', order_id: 'order-1' });
  await openAs(page, drover, admin, '#/admin/deliveries');
  await page.getByRole('button', { name: 'Actions for order-1' }).click();
  const moves = page.getByRole('menuitem', { name: /^Move to/ });
  await expect(moves).toHaveText(['Move to: Assigned', 'Move to: Cancelled']);
  await moves.first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog.getByText('Please fill in.')).toBeVisible();
  await pick(page, 'Driver', 'Dora Dias');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog).toHaveCount(0);
  const row = page.getByRole('row', { name: /order-1/ });
  await expect(row).toContainText('Assigned');
  await expect(row).toContainText('Dora Dias');

  await row.getByRole('link', { name: 'order-1' }).click();
  const steps = page.getByRole('region', { name: 'Status' });
  await expect(steps.getByRole('button')).toHaveText(['Picked up', 'Created', 'Failed', 'Cancelled']);
  await steps.getByRole('button', { name: 'Picked up' }).click();
  await dialog.getByLabel('Note').fill('two parcels');
  await dialog.getByRole('button', { name: 'Move' }).click();
  const events = page.getByRole('region', { name: 'What became of it' }).getByRole('listitem');
  await expect(events).toHaveCount(3);
  await expect(events.first()).toContainText('Picked up');
  await expect(events.first()).toContainText('two parcels');
  await expect(events.first()).toContainText('you');

  // Moved by somebody else meanwhile: refused, and where it is now is shown.
  await steps.getByRole('button', { name: 'Out for delivery' }).click();
  await asAdmin('PUT', 'deliveries/del-1/status', { status: 'failed' });
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog.getByRole('alert')).toContainText('Somebody else has changed this meanwhile.');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(steps).toContainText('Failed');
  await steps.getByRole('button', { name: 'Cancelled' }).click();
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(steps).toContainText('This is an end: nothing follows.');
  await expect(steps.getByRole('button')).toHaveCount(0);
});

test('a driver moves his own deliveries on, and is offered nothing else', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'drivers', { id: 'd-1', name: 'Dora Dias' });
  for (const [id, driver] of [
    ['del-1', 'd-1'],
    ['del-2', null],
  ]) {
    await asAdmin('POST', 'deliveries', { id, order_id: `order-${id}`, ...(driver ? { driver_id: driver } : {}) });
  }
  await asAdmin('PUT', 'deliveries/del-1/status', { status: 'assigned' });
  const driver = await makeUser(drover, admin, 'dora@example.com', { role: 'driver', driver_id: 'd-1' });
  await openAs(page, drover, driver, '#/admin/deliveries');
  const table = page.getByRole('table', { name: 'Deliveries' });
  await expect(table.getByRole('row')).toHaveCount(2);
  await expect(page.getByRole('button', { name: 'Add delivery' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Actions for order-del-1' }).click();
  await expect(page.getByRole('menuitem')).toHaveText(['Move to: Picked up', 'Move to: Failed']);
  await page.getByRole('menuitem', { name: 'Move to: Picked up' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Move' }).click();
  await expect(table).toContainText('Picked up');
});

test('a person gets all that is known, and is erased by who has read what is lost', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'customers', { id: 'c-1', name: 'Carla Costa', email: 'carla@example.com' });
  await asAdmin('POST', 'deliveries', { id: 'del-1', customer_id: 'c-1', dropoff_address: 'Rua Nova 1' });
  await openAs(page, drover, admin, '#/admin/customers');
  await page.getByRole('link', { name: 'Carla Costa' }).click();
  const menu = page.getByRole('button', { name: 'Actions for Carla Costa' });
  await menu.click();
  const download = page.waitForEvent('download');
  await page.getByRole('menuitem', { name: 'Export all that is known' }).click();
  const known = JSON.parse(await readFile((await (await download).path())!, 'utf8'));
  expect(known).toMatchObject({ customer: { name: 'Carla Costa' }, deliveries: [{ dropoff_address: 'Rua Nova 1' }] });

  await menu.click();
  await page.getByRole('menuitem', { name: 'Erase personal data' }).click();
  const dialog = page.getByRole('dialog', { name: 'Erase Carla Costa?' });
  const lost = dialog.getByRole('region', { name: 'What is lost' });
  await expect(lost).toContainText('Of the customer: Name, E-mail, Phone, Address');
  for (const said of ['Of all deliveries:', 'Goes to', 'Instructions']) await expect(lost).toContainText(said);
  await expect(dialog.getByRole('region', { name: 'What stays' })).toContainText('the audit');
  const erase = dialog.getByRole('button', { name: 'Erase for good' });
  await expect(erase).toBeDisabled();
  await dialog.getByLabel('Type c-1 to confirm').fill('c-1');
  await erase.click();
  const done = page.getByRole('dialog', { name: 'Erased' });
  await expect(done.getByRole('region', { name: 'What stays' })).toContainText('archive');
  await done.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('heading', { name: 'c-1' })).toBeVisible();
  await expect(page.getByRole('main')).not.toContainText('carla@example.com');
  expect(await asAdmin('GET', 'customers/c-1')).toMatchObject({ name: null, erased: true });
  expect(await asAdmin('GET', 'deliveries/del-1')).toMatchObject({ dropoff_address: null });
});

test('a device leads to the credentials of what it reports for', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'vehicles', { id: 'v-1', registration_number: 'AA-11-BB' });
  await asAdmin('POST', 'device-tokens', { kind: 'vehicle', id: 'v-2' });
  await openAs(page, drover, admin, '#/admin/devices');
  await page.getByRole('button', { name: 'Add device' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reports for').click();
  await page.getByRole('option', { name: 'Vehicle' }).click();
  await pick(page, 'Which one', 'AA-11-BB');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Tracker 7');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('table', { name: 'Devices' })).toContainText('AA-11-BB');
  await page.getByRole('link', { name: 'Tracker 7' }).click();
  await page.getByRole('region', { name: 'Belongs to it' }).getByRole('link', { name: 'Certificates' }).click();
  await expect(page.getByText('Only of: Vehicle AA-11-BB.')).toBeVisible();
  await page.getByRole('button', { name: 'Issue certificate' }).first().click();
  await expect(dialog.getByRole('combobox', { name: 'Name or id' })).toHaveValue('AA-11-BB');
  await dialog.getByRole('button', { name: 'Issue certificate' }).click();
  await expect(page.getByRole('region', { name: 'Private key' })).toContainText('PRIVATE KEY');
  await page.getByRole('button', { name: 'Done' }).click();
  const certificates = page.getByRole('table', { name: 'Certificates' });
  await expect(certificates).toContainText('vehicle/v-1');
  await expect(page.getByText('vehicle/v-2')).toHaveCount(0);
  await rowAction(page, 'vehicle/v-1', 'Revoke');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(certificates).toContainText('Revoked');
  await page.getByRole('link', { name: 'Show all' }).click();
  await expect(page.getByRole('table', { name: 'Tokens' })).toContainText('vehicle/v-2');
});
