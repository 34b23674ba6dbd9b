import { anotherPage } from './drover';
import { api, expect, logIn, makeUser, openAs, PASSWORD, pick, rowAction, test } from './secured';

test('a user is made, logs in, is locked out and removed', async ({ page, browser, drover, admin }) => {
  await openAs(page, drover, admin, '#/admin/users');
  await page.getByRole('button', { name: 'Add user' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('Please fill in.')).toBeVisible();
  await dialog.getByLabel('E-mail').fill('grace@example.com');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Grace Hopper');
  await dialog.getByLabel('Role').click();
  await page.getByRole('option', { name: 'Fleet manager' }).click();
  await dialog.getByLabel('All fleets').check();
  await dialog.getByRole('button', { name: 'Save' }).click();
  const secret = (await page.getByTestId('secret').textContent())!.trim();
  await page.getByRole('button', { name: 'Done' }).click();
  const table = page.getByRole('table', { name: 'Users' });
  const row = table.getByRole('row', { name: /Grace Hopper/ });
  await expect(row).toContainText('Fleet manager');
  await expect(row).toContainText('Password not yet chosen');

  const other = await anotherPage(browser, drover);
  await other.goto(`${drover.url}/#/account`);
  await logIn(other, { email: 'grace@example.com', password: secret });
  await other.getByLabel('New password', { exact: true }).fill(PASSWORD);
  await other.getByLabel('New password again').fill(PASSWORD);
  await other.getByRole('button', { name: 'Change password' }).click();
  await expect(other.getByRole('region', { name: 'Grace Hopper' })).toContainText('Fleet manager');

  await rowAction(page, 'grace@example.com', 'Lock out');
  await page.getByRole('dialog').getByRole('button', { name: 'Lock out' }).click();
  await expect(row).toContainText('Locked out');
  await other.goto(`${drover.url}/#/admin`);
  await other.reload();
  await expect(other.getByRole('heading', { name: 'Log in' })).toBeVisible();
  await other.close();

  await rowAction(page, 'grace@example.com', 'Remove');
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(row).toHaveCount(0);
});

test('a user whom somebody else has changed meanwhile is shown as he is now', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  const more = { email: 'grace@example.com', name: 'Grace', role: 'auditor', all_fleets: true };
  const { user } = await asAdmin<{ user: { id: string } }>('POST', 'users', more);
  await openAs(page, drover, admin, '#/admin/users');
  const dialog = page.getByRole('dialog');
  const rename = async (name: string) => {
    await rowAction(page, 'grace@example.com', 'Change');
    await dialog.getByRole('textbox', { name: 'Name' }).fill(name);
    await dialog.getByRole('button', { name: 'Save' }).click();
  };
  await expect(page.getByRole('row', { name: /grace@/ })).toBeVisible();
  await asAdmin('PATCH', `users/${user.id}`, { name: 'Grace Brewster' });
  await rename('Grace Hopper');
  await expect(dialog.getByRole('alert')).toContainText('Somebody else has changed this meanwhile.');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByRole('row', { name: /Grace Brewster/ })).toBeVisible();
  await rename('Grace Hopper');
  await expect(dialog).toHaveCount(0);
  await expect(page.getByRole('row', { name: /Grace Hopper/ })).toBeVisible();
});

test('a page behind the last leads to the last, and another page is read from its top', async ({
  page,
  drover,
  admin,
}) => {
  const asAdmin = await api(drover, admin);
  for (let at = 10; at < 40; at++) {
    await asAdmin('POST', 'depots', { id: `dep-${at}`, name: `Depot ${at}`, latitude: 41, longitude: -8 });
  }
  await openAs(page, drover, admin, '#/admin/depots?page=9');
  const table = page.getByRole('table', { name: 'Depots' });
  await expect(table).toContainText('Depot 39');
  await expect(table.getByRole('row')).toHaveCount(6);
  await expect.poll(() => page.url()).toContain('page=2');
  await page.getByRole('button', { name: 'Previous page' }).click();
  await expect(table).toContainText('Depot 10');
  await page.getByRole('button', { name: 'Next page' }).scrollIntoViewIfNeeded();
  await expect(page.getByRole('link', { name: 'Depot 10' })).not.toBeInViewport();
  await page.route('**/api/v1/depots?**', async (route) => {
    // As long as the first one, so that nothing but the page itself goes to its top.
    const url = new URL(route.request().url());
    const answer = await route.fetch({ url: route.request().url().replace('page=2', 'page=1') });
    const body = await answer.json();
    body.meta.pagination.page = Number(url.searchParams.get('page') ?? 1);
    await route.fulfill({ response: answer, json: body });
  });
  await page.getByRole('button', { name: 'Next page' }).click();
  await expect(page.getByRole('link', { name: 'Depot 10' })).toBeInViewport();
});

test('an API key is shown once and works until it is revoked', async ({ page, drover, admin }) => {
  await openAs(page, drover, admin, '#/admin/keys');
  await page.getByRole('button', { name: 'Add API key' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Shop');
  await dialog.getByLabel('All fleets').check();
  await dialog.getByLabel('fleet.read').check();
  await dialog.getByRole('button', { name: 'Save' }).click();
  const token = (await page.getByTestId('secret').textContent())!.trim();
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('row', { name: /Shop/ })).toContainText('fleet.read');
  await expect(page.getByText(token)).toHaveCount(0);

  const asked = () => fetch(`${drover.url}/api/v1/vehicles`, { headers: { authorization: `Bearer ${token}` } });
  expect((await asked()).status).toBe(200);
  await rowAction(page, 'Shop', 'Revoke');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(page.getByText('No API keys yet.')).toBeVisible();
  expect((await asked()).status).toBe(401);
});

test('devices get tokens and certificates, whose secrets are shown once', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'drivers', { id: 'd-1', name: 'Dora' });
  await openAs(page, drover, admin, '#/admin/credentials');
  await page.getByRole('button', { name: 'Add device token' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Kind').click();
  await page.getByRole('option', { name: 'Driver' }).click();
  await pick(page, 'Name or id', 'Dora');
  await dialog.getByRole('button', { name: 'Save' }).click();
  const token = (await page.getByTestId('secret').textContent())!.trim();
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('table', { name: 'Tokens' })).toContainText('driver/d-1');
  const sent = await fetch(`${drover.url}/api/v1/drivers/d-1/location`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ latitude: 41.15, longitude: -8.61 }),
  });
  expect(sent.status, await sent.text()).toBe(202);

  await page.getByRole('button', { name: 'Issue certificate' }).first().click();
  await dialog.getByLabel('Kind').click();
  await page.getByRole('option', { name: 'Driver' }).click();
  await pick(page, 'Name or id', 'Dora');
  await dialog.getByRole('button', { name: 'Issue certificate' }).click();
  await expect(page.getByRole('region', { name: 'Private key' })).toContainText('PRIVATE KEY');
  await expect(page.getByRole('region', { name: 'Certificate', exact: true })).toContainText('BEGIN CERTIFICATE');
  await page.getByRole('button', { name: 'Done' }).click();
  const certificates = page.getByRole('table', { name: 'Certificates' });
  await expect(certificates).toContainText('Valid');
  await certificates
    .getByRole('button', { name: /^Actions for/ })
    .first()
    .click();
  await page.getByRole('menuitem', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(certificates).toContainText('Revoked');
});

test('vehicles are made, found, changed and removed', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  for (let at = 1; at <= 30; at++) {
    await asAdmin('POST', 'vehicles', { id: `van-${at}`, registration_number: `AA-${at}-XY`, class: 'van' });
  }
  await openAs(page, drover, admin, '#/admin/vehicles');
  const table = page.getByRole('table', { name: 'Vehicles' });
  await expect(table.getByRole('row')).toHaveCount(26);
  await page.getByRole('button', { name: 'Next page' }).click();
  await expect(table.getByRole('row')).toHaveCount(6);

  await page.getByRole('button', { name: 'Add vehicle' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel(/^Id/).fill('bus-1');
  await dialog.getByLabel('Registration').fill('AA-1-XY');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.locator('.Mui-error, [role="alert"]').first()).toBeVisible();
  await dialog.getByLabel('Registration').fill('ZZ-99-ZZ');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);

  await page.getByLabel('Search: Vehicles').fill('ZZ-99');
  await expect(table.getByRole('row')).toHaveCount(2);
  await rowAction(page, 'ZZ-99-ZZ', 'Change');
  await dialog.getByLabel('Model').fill('Sprinter');
  await dialog.getByLabel('Top speed (km/h)').fill('120');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(table).toContainText('Sprinter');
  expect(await asAdmin('GET', 'vehicles/bus-1')).toMatchObject({ model: 'Sprinter', max_speed_kmh: 120 });

  await rowAction(page, 'ZZ-99-ZZ', 'Remove');
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(page.getByText('Nothing matches.')).toBeVisible();
});

test('the audit tells who did what, and its chain is whole', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'vehicles', { id: 'van-1', registration_number: 'AA-1-XY' });
  await openAs(page, drover, admin, '#/admin/audit');
  const table = page.getByRole('table', { name: 'Audit' });
  await page.getByLabel('To what').fill('vehicles/van-1');
  await expect(table.getByRole('row', { name: /vehicles\/van-1/ })).toContainText(/Administratoruser\/u-/);
  await page.getByRole('button', { name: 'Check the chain' }).click();
  await expect(page.getByText(/^The chain is whole: \d+ entries/)).toBeVisible();
});

test('who may read but not change is offered no change', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'vehicles', { id: 'van-1', registration_number: 'AA-1-XY' });
  const auditor = await makeUser(drover, admin, 'audit@example.com', { role: 'auditor', all_fleets: true });
  await openAs(page, drover, auditor, '#/admin/vehicles');
  await expect(page.getByRole('table', { name: 'Vehicles' })).toContainText('AA-1-XY');
  await expect(page.getByRole('button', { name: 'Add vehicle' })).toHaveCount(0);
  await expect(page.getByRole('button', { name: /^Actions for/ })).toHaveCount(0);
  const sections = page.getByRole('navigation', { name: 'Administration' });
  await expect(sections.getByRole('link', { name: 'Users' })).toBeVisible();
  await expect(sections.getByRole('link', { name: 'API keys' })).toHaveCount(0);
});

test('all sections fit the phone, in the dark', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  const long = 'A registration that is far too long';
  await asAdmin('POST', 'vehicles', {
    id: 'van-with-a-very-long-identifier-of-its-own',
    registration_number: long.slice(0, 32),
  });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await openAs(page, drover, admin, '#/admin');
  const links = page.getByRole('navigation', { name: 'Administration' }).getByRole('link');
  for (let at = 0; at < (await links.count()); at++) {
    await links.nth(at).click();
    await expect(links.nth(at)).toHaveAttribute('aria-current', 'page');
    await expect(page.getByRole('main').locator('[aria-busy="true"]')).toHaveCount(0);
    const overflow = await page.getByRole('main').evaluate((main) => main.scrollWidth - main.clientWidth);
    expect(overflow, (await links.nth(at).textContent()) ?? '').toBeLessThanOrEqual(0);
  }
});
