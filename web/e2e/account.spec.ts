import { anotherPage, test as open } from './drover';
import { api, expect, logIn, makeUser, openAs, PASSWORD, test, totpCode } from './secured';

test('the first administrator replaces the one-time password and arrives where he wanted', async ({ page, drover }) => {
  await page.goto(`${drover.url}/#/admin/users`);
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  await logIn(page, drover.admin!);

  await expect(page.getByRole('heading', { name: 'Choose a password' })).toBeVisible();
  await page.getByLabel('New password', { exact: true }).fill(PASSWORD);
  await page.getByLabel('New password again').fill(`${PASSWORD}?`);
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByText('The two differ.')).toBeVisible();
  await page.getByLabel('New password again').fill(PASSWORD);
  await page.getByRole('button', { name: 'Change password' }).click();

  await expect(page.getByRole('heading', { name: 'Users' })).toBeVisible();
  await expect(page.getByRole('table', { name: 'Users' })).toContainText(drover.admin!.email);
});

test('a one-time password must be replaced after a reload too', async ({ page, drover }) => {
  await page.goto(drover.url);
  await logIn(page, drover.admin!);
  await expect(page.getByRole('heading', { name: 'Choose a password' })).toBeVisible();
  await page.reload();
  await page.getByLabel('One-time password').fill(drover.admin!.password);
  await page.getByLabel('New password', { exact: true }).fill('short');
  await page.getByLabel('New password again').fill('short');
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.locator('.Mui-error, [role="alert"]').first()).toBeVisible();
  await page.getByLabel('New password', { exact: true }).fill(PASSWORD);
  await page.getByLabel('New password again').fill(PASSWORD);
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByTestId('map')).toBeVisible();
});

test('a wrong password says so, and many ask to wait', async ({ page, drover, admin }) => {
  await page.goto(drover.url);
  await logIn(page, { ...admin, password: 'not this one' });
  await expect(page.getByRole('alert')).toHaveText('E-mail or password is wrong.');
  const submit = page.getByRole('button', { name: 'Log in', exact: true });
  for (let tries = 0; tries < 15 && (await submit.isEnabled()); tries++) {
    const answered = page.waitForResponse((answer) => answer.url().endsWith('/auth/login'));
    await page.getByLabel('Password').press('Enter');
    await answered;
    await expect(page.getByRole('alert')).toBeVisible();
  }
  await expect(page.getByRole('alert')).toHaveText(/^Too many tries\. The next one is possible in \d/);
  await expect(submit).toBeDisabled();
});

test('a second step is set up, asked for, replaced by a recovery code, and turned off', async ({
  page,
  drover,
  admin,
}) => {
  await openAs(page, drover, admin, '#/account');
  const factor = page.getByRole('region', { name: 'Second step' });
  await factor.getByRole('button', { name: 'Set up' }).click();
  await factor.getByLabel('Current password').fill('not this one');
  await factor.getByRole('button', { name: 'Set up' }).click();
  await expect(factor.getByRole('alert')).toHaveText('This password is wrong.');
  await factor.getByLabel('Current password').fill(PASSWORD);
  await factor.getByRole('button', { name: 'Set up' }).click();
  await expect(factor.getByRole('img', { name: 'QR code for the authenticator app' })).toBeVisible();
  const key = (await factor.getByTestId('totp-key').textContent())!;
  await factor.getByLabel('Code that the app shows').fill(totpCode(key));
  await factor.getByRole('button', { name: 'Turn on' }).click();
  await expect(factor.getByTestId('recovery-codes')).toBeVisible();
  const recovery = await factor.getByTestId('recovery-codes').getByRole('listitem').allTextContents();
  expect(new Set(recovery).size).toBeGreaterThanOrEqual(8);
  const download = page.waitForEvent('download');
  await factor.getByRole('button', { name: 'Download' }).click();
  expect((await download).suggestedFilename()).toBe('drover-recovery-codes.txt');
  await factor.getByRole('button', { name: 'I have kept them' }).click();
  await expect(factor).toContainText('A code from your authenticator app is asked for');

  await logOut();
  await logIn(page, admin);
  await page.getByLabel('Code').fill('000000');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expect(page.getByRole('alert')).toHaveText('This code is wrong or was used before.');
  // Each code is good once: that of now has been used.
  await page.getByLabel('Code').fill(totpCode(key, 1));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expect(page.getByTestId('map')).toBeVisible();

  await logOut();
  await logIn(page, admin);
  await page.getByRole('button', { name: 'Use a recovery code' }).click();
  await page.getByLabel('Recovery code').fill(recovery[0]!);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expect(page.getByTestId('map')).toBeVisible();

  await page.getByRole('button', { name: 'Account', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Account' }).click();
  await expect(factor).toContainText(`${recovery.length - 1} recovery codes are left.`);
  await factor.getByRole('button', { name: 'Turn off' }).click();
  await factor.getByLabel('Current password').fill(PASSWORD);
  await factor.getByRole('button', { name: 'Turn off' }).click();
  await expect(factor.getByRole('button', { name: 'Set up' })).toBeVisible();

  async function logOut() {
    await page.getByRole('button', { name: 'Account', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Log out' }).click();
    await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  }
});

test('a session ended elsewhere leads to the login and back to the same place', async ({
  page,
  browser,
  drover,
  admin,
}) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'vehicles', { id: '7', registration_number: 'AA-07-XY' });
  await openAs(page, drover, admin, '#vehicle/7@41.15,-8.61,15');
  await expect(page.getByTestId('connection')).toHaveText('Live');

  const other = await anotherPage(browser, drover);
  await openAs(other, drover, admin, '#/account');
  const sessions = other.getByRole('region', { name: 'Where you are logged in' });
  await expect(sessions).toContainText('This browser');
  // This one, the page's, and those of the API.
  for (let left = await sessions.getByRole('button').count(); left > 0; left--) {
    await sessions.getByRole('button', { name: 'Log out there' }).first().click();
    await expect(sessions.getByRole('button')).toHaveCount(left - 1);
  }
  await expect(sessions).toContainText('Nowhere else.');

  await expect(page.getByText('Your session has ended.')).toBeVisible({ timeout: 30_000 });
  await logIn(page, admin);
  await expect(page.getByTestId('connection')).toHaveText('Live');
  await expect(page.getByTestId('details').getByRole('heading', { name: '7' })).toBeVisible();
  expect(page.url()).toContain('#vehicle/7@');
});

test('nothing is watched before the login, and everything within reach after it', async ({ page, drover, admin }) => {
  const watched: string[] = [];
  page.on('websocket', (socket) => watched.push(socket.url()));
  await page.goto(drover.url);
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  expect(watched).toEqual([]);
  await logIn(page, admin);
  await expect(page.getByTestId('connection')).toHaveText('Live');
  await expect(page.getByTestId('empty')).toContainText('-H "Authorization: Bearer $DROVER_TOKEN"');
  await expect(page.getByTestId('empty').getByRole('link', { name: 'API keys' })).toHaveAttribute(
    'href',
    '#/admin/keys',
  );
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'reports', { kind: 'vehicle', id: '7', latitude: 41.15, longitude: -8.61, speed: 30 });
  await expect(page.getByRole('option')).toContainText('7');
});

test('somebody with few rights sees what is his, and no administration', async ({ page, drover, admin }) => {
  const asAdmin = await api(drover, admin);
  await asAdmin('POST', 'customers', { id: 'c-1', name: 'Carla' });
  const carla = await makeUser(drover, admin, 'carla@example.com', { role: 'customer', customer_id: 'c-1' });
  await openAs(page, drover, carla, '');
  await expect(page.getByRole('region', { name: 'carla@example.com' })).toContainText('Customer');
  await expect(page.getByTestId('map')).toHaveCount(0);
});

test('the login works by keyboard alone, at the width of a phone, in the dark', async ({ page, drover, admin }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.goto(`${drover.url}/#/account`);
  await expect(page.getByLabel('E-mail')).toBeFocused();
  await page.keyboard.type(admin.email);
  await page.keyboard.press('Tab');
  await page.keyboard.type(admin.password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Account', exact: true })).toBeVisible();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);

  await page.getByRole('button', { name: 'Account', exact: true }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('menuitem', { name: 'Account' })).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Administration' })).toBeVisible();
});

test('a login elsewhere that failed says why', async ({ page, drover }) => {
  const said = {
    unknown_user: 'nobody here has this e-mail address',
    oidc_refused: 'refused over there',
    provider_away: 'The login service does not answer',
    registry_away: 'The list of users cannot be read at the moment',
    'something-else': 'The login did not work',
  };
  for (const [problem, words] of Object.entries(said)) {
    await page.goto(`${drover.url}/?problem=${problem}`);
    await expect(page.getByRole('alert')).toContainText(words);
    await expect.poll(() => new URL(page.url()).search).toBe('');
  }
});

open('a node that asks for no credentials has neither login nor account', async ({ page, drover }) => {
  await page.goto(`${drover.url}/#/account`);
  await expect(page.getByTestId('connection')).toHaveText('Live');
  await expect(page.getByRole('button', { name: 'Account', exact: true })).toHaveCount(0);
});
