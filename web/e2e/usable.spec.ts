import type { Page } from '@playwright/test';
import { fill } from './filled';
import { api, expect, makeUser, openAs, test } from './secured';

async function sections(page: Page): Promise<string[]> {
  const links = page.getByRole('navigation', { name: 'Administration' }).getByRole('link');
  await expect(links.first()).toBeVisible();
  return links.evaluateAll((all) => all.map((one) => one.getAttribute('href')!));
}

async function settled(page: Page): Promise<void> {
  await expect(page.getByRole('main').locator('[aria-busy="true"], .MuiSkeleton-root')).toHaveCount(0);
}

/** What of records somebody with an own record alone, or stations alone, can ever see. */
const ONLY: Partial<Record<string, string[]>> = {
  driver: ['deliveries', 'routes', 'vehicles', 'drivers', 'assignments', 'organisations'],
  customer: ['deliveries', 'customers'],
  station_operator: ['stations'],
};
const OWN: Partial<Record<string, object>> = { driver: { driver_id: 'd-1' }, customer: { customer_id: 'c-1' } };

for (const role of ['fleet_manager', 'dispatcher', 'driver', 'customer', 'station_operator', 'auditor']) {
  test(`${role}: shown no page that may not be read`, async ({ page, drover, admin }) => {
    await fill(drover, admin);
    const reach = OWN[role] ?? { fleets: ['f-1'] };
    const person = await makeUser(drover, admin, `${role}@example.com`, { role, ...reach });
    const refused: string[] = [];
    page.on('response', (answer) => {
      if (answer.status() === 403) refused.push(`${answer.request().method()} ${answer.url()}`);
    });
    await openAs(page, drover, person, '#/admin');
    const seen = await sections(page);
    expect(seen.length).toBeGreaterThan(0);
    const only = ONLY[role];
    if (only) expect(seen).toEqual(only.map((section) => `#/admin/${section}`));
    for (const section of seen) {
      await page.goto(`${drover.url}/${section}`);
      await settled(page);
      await expect(page.getByRole('main').getByRole('alert'), section).toHaveCount(0);
      const record = page.getByRole('table').first().locator('a strong').first();
      if (!(await record.count())) continue;
      await record.click();
      await settled(page);
      await expect(page.getByRole('main').getByRole('alert'), section).toHaveCount(0);
    }
    expect(refused).toEqual([]);
  });
}

test('who reaches some fleets is not offered what needs all of them', async ({ page, drover, admin }) => {
  await fill(drover, admin);
  const manager = await makeUser(drover, admin, 'north@example.com', { role: 'fleet_manager', fleets: ['f-1'] });
  await openAs(page, drover, manager, '#/admin/fleets');
  await expect(page.getByRole('table', { name: 'Fleets' })).toContainText('North');
  await expect(page.getByRole('button', { name: 'Add fleet' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Actions for North' }).click();
  await expect(page.getByRole('menuitem')).toHaveText(['Change']);
  await page.keyboard.press('Escape');
  await page.goto(`${drover.url}/#/admin/organisations`);
  await expect(page.getByRole('table', { name: 'Organisations' })).toContainText('Carriers');
  await expect(page.getByRole('button', { name: /^Actions for/ })).toHaveCount(0);
});

test('what a manager is offered for others is what the node lets him give', async ({ page, drover, admin }) => {
  await fill(drover, admin);
  const manager = await makeUser(drover, admin, 'north@example.com', { role: 'fleet_manager', fleets: ['f-1'] });
  const auditor = await makeUser(drover, admin, 'reads@example.com', { role: 'auditor', fleets: ['f-1'] });
  await openAs(page, drover, manager, '#/admin/users');
  await expect(page.getByRole('row', { name: /reads@example.com/ })).toBeVisible();
  await expect(page.getByRole('button', { name: `Actions for ${auditor.email}` })).toHaveCount(0);
  await page.getByRole('button', { name: 'Add user' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('All fleets')).toHaveCount(0);
  await expect(dialog.getByLabel('North')).toBeChecked();
  await dialog.getByLabel('Role').click();
  const offered = await page.getByRole('option').allTextContents();
  expect(offered).toEqual(['Dispatcher', 'Fleet manager', 'Driver', 'Customer', 'Station operator']);

  const asManager = await api(drover, manager);
  for (const [at, name] of offered.entries()) {
    const role = name.toLowerCase().replace(' ', '_');
    await asManager('POST', 'users', { email: `u${at}@example.com`, name, role, fleets: ['f-1'], ...OWN[role] });
  }
  for (const role of ['system_admin', 'auditor']) {
    const more = { email: `${role}@example.com`, name: role, role, fleets: ['f-1'] };
    await expect(asManager('POST', 'users', more)).rejects.toThrow(/403/);
  }
});

test('a link to a section that a role does not open says so', async ({ page, drover, admin }) => {
  await fill(drover, admin);
  const driver = await makeUser(drover, admin, 'dora@example.com', { role: 'driver', driver_id: 'd-1' });
  await openAs(page, drover, driver, '#/admin/audit?status=active&page=2');
  await expect(page.getByText('Your role does not open Audit.')).toBeVisible();
  await expect(page.getByRole('table')).toHaveCount(0);
  await page.goto(`${drover.url}/#/admin/fleets/f-1`);
  await expect(page.getByText('Your role does not open Fleets.')).toBeVisible();
  await page.goto(`${drover.url}/#/admin/drivers/d-1`);
  await expect(page.getByRole('heading', { name: 'Dora Dias' })).toBeVisible();
  await expect(page.getByRole('main').getByText('f-1')).toBeVisible();
  await expect(page.getByRole('link', { name: 'f-1' })).toHaveCount(0);
});

test('the keyboard is seen wherever it is', async ({ page, drover, admin }) => {
  await fill(drover, admin);
  await openAs(page, drover, admin, '#/admin/depots');
  await expect(page.getByRole('table', { name: 'Depots' })).toContainText('Harbour');
  const seen: string[] = [];
  const unseen: string[] = [];
  const tab = async () => {
    await page.keyboard.press('Tab');
    const [name, mark] = await page.evaluate(() => {
      const at = document.activeElement!;
      // A checkbox is drawn by what is around it, a text by its frame.
      const drawn = at.matches('[type=checkbox]') ? at.parentElement! : at;
      const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
      const framed = at.matches('input:not([type=checkbox]), textarea, [role=combobox], body');
      const name = at.getAttribute('aria-label') || at.textContent || at.getAttribute('name') || at.tagName;
      return [name, framed || (outlineStyle === 'solid' && outlineWidth === '2px')] as const;
    });
    (mark ? seen : unseen).push(name.trim());
  };
  for (let steps = 0; steps < 34; steps++) await tab();
  expect(seen).toEqual(expect.arrayContaining(['Account', 'Filters', 'Add depot', 'Name', 'Actions for Harbour']));
  await page.getByRole('button', { name: 'Add depot' }).click();
  for (let steps = 0; steps < 12; steps++) await tab();
  expect(seen).toContain('Save');
  await page.goto(`${drover.url}/#/admin/keys`);
  await page.reload();
  await page.getByRole('button', { name: 'Add API key' }).first().click();
  for (let steps = 0; steps < 8; steps++) await tab();
  expect(unseen).toEqual([]);
});

test('what was typed is not lost by a click beside it, nor without a word when the session ends', async ({
  page,
  drover,
  admin,
}) => {
  await openAs(page, drover, admin, '#/admin/depots');
  const dialog = page.getByRole('dialog');
  const beside = () => page.mouse.click(5, 5);
  await page.getByRole('button', { name: 'Add depot' }).first().click();
  await expect(dialog).toBeVisible();
  await beside();
  await expect(dialog).toHaveCount(0);
  await page.getByRole('button', { name: 'Add depot' }).first().click();
  await dialog.getByLabel('Name').fill('Harbour');
  await beside();
  await dialog.getByLabel('Region').fill('Porto');
  await expect(dialog.getByLabel('Name')).toHaveValue('Harbour');
  await page.context().clearCookies();
  await dialog.getByLabel('Latitude').fill('41.1');
  await dialog.getByLabel('Longitude').fill('-8.6');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText(/session has ended\. What was typed and not saved is gone\./)).toBeVisible();
});

test('every list, record and form fits the phone, in the dark', async ({ page, drover, admin }) => {
  test.setTimeout(180_000);
  await fill(drover, admin);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await openAs(page, drover, admin, '#/admin');
  const fits = async (what: string) => {
    const over = await page.evaluate(() => {
      const shown = [document.querySelector('main')!, ...document.querySelectorAll('.MuiDialogContent-root')];
      return Math.max(...shown.map((one) => one.scrollWidth - one.clientWidth));
    });
    expect(over, what).toBeLessThanOrEqual(0);
  };
  for (const section of await sections(page)) {
    await page.goto(`${drover.url}/${section}`);
    await settled(page);
    const filters = page.getByRole('button', { name: 'Filters' });
    if (await filters.count()) await filters.click();
    await fits(section);
    const add = page.getByRole('main').getByRole('button', { name: /^Add / }).first();
    if (await add.count()) {
      await add.click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await fits(`${section}, form`);
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
      await expect(page.getByRole('dialog')).toHaveCount(0);
    }
    const record = page.getByRole('table').first().locator('a strong').first();
    if (!(await record.count())) continue;
    await record.click();
    await settled(page);
    await fits(`${section}, record`);
  }
});

test('the keyboard alone makes a record, opens it and comes back', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'fleets', { id: 'f-1', name: 'North' });
  await openAs(page, drover, admin, '#/admin/depots');
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = page.locator(':focus');
  const tabTo = async (name: string | RegExp) => {
    for (let steps = 0; steps < 40; steps++) {
      const text = await focused.evaluateAll(([one]) => one?.getAttribute('aria-label') || one?.textContent || '');
      if (typeof name === 'string' ? text.trim() === name : name.test(text)) return;
      await press('Tab');
    }
    throw new Error(`the keyboard never came to ${name}`);
  };
  await tabTo('Add depot');
  await press('Enter');
  await expect(page.getByRole('dialog')).toBeVisible();
  await press('Tab');
  await page.keyboard.type('Harbour');
  await press('Tab');
  await page.keyboard.type('41.2');
  await press('Tab');
  await page.keyboard.type('-8.7');
  const fleet = page.getByRole('combobox', { name: 'Fleet' });
  for (let steps = 0; steps < 10 && !(await fleet.evaluate((one) => one === document.activeElement)); steps++) {
    await press('Tab');
  }
  await page.keyboard.type('Nor');
  await expect(page.getByRole('option', { name: 'North' })).toBeVisible();
  await press('ArrowDown', 'Enter');
  await expect(fleet).toHaveValue('North');
  await tabTo('Save');
  await press('Enter');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  const table = page.getByRole('table', { name: 'Depots' });
  await expect(table).toContainText('Harbour');
  await page.getByRole('link', { name: 'Harbour' }).focus();
  await press('Enter');
  await expect(page.getByRole('heading', { name: 'Harbour' })).toBeVisible();
  await page.getByRole('navigation', { name: 'Where you are' }).getByRole('link').focus();
  await press('Enter');
  await expect(table).toContainText('Harbour');
});

test('a list that cannot be loaded says so, and is asked for again', async ({ page, drover, admin }) => {
  await openAs(page, drover, admin, '#/admin/routes');
  await expect(page.getByText('No routes yet.')).toBeVisible();
  await page.route('**/api/v1/stations?**', (route) =>
    route.fulfill({
      status: 503,
      json: { status: 'error', error: { code: 'registry_away', message: 'the database is away', help: 'wait' } },
    }),
  );
  await page.goto(`${drover.url}/#/admin/stations`);
  await expect(page.getByRole('alert')).toContainText('the database is away');
  await page.unroute('**/api/v1/stations?**');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByText('No stations yet.')).toBeVisible();
  await page.goto(`${drover.url}/#/admin/stations/none-such`);
  await expect(page.getByRole('alert')).toContainText('there is no station');
});
