// A day of an asset and its replay, against a real node. The reader lives in India: half past five ahead of UTC all
// year, so that a local day always lies in two UTC days.

import type { Page } from '@playwright/test';
import { type Drover, expect, mapCentre, pixelsOf, type Report, test } from './drover';

test.use({ timezoneId: 'Asia/Kolkata' });

const ZONE_MS = 5.5 * 3_600_000;
const DAY_MS = 86_400_000;
const PORTO = { latitude: 41.15, longitude: -8.61 };
const VIEW = '@41.15,-8.60,14';
/** Per ten seconds: 42 m, 15 km/h. */
const STEP = 0.0005;
const MINUTE_MS = 60_000;

/** Midnight in India, so many days ago. */
function midnight(daysAgo: number): number {
  return Math.floor((Date.now() + ZONE_MS) / DAY_MS - daysAgo) * DAY_MS - ZONE_MS;
}

function dayName(daysAgo: number): string {
  return new Date(midnight(daysAgo) + ZONE_MS).toISOString().slice(0, 10);
}

function vehicle(time: number, more: Partial<Report>): Report {
  return { kind: 'vehicle', id: '7', ...PORTO, timestamp: new Date(time).toISOString(), ...more };
}

/** When the drive of a day begins: ten past midnight, on the day before by UTC. */
function driveStart(daysAgo: number): number {
  return midnight(daysAgo) + 10 * MINUTE_MS;
}

/** Ten minutes east, ten minutes standing, an hour of silence, ten minutes north and fast. */
function drive(daysAgo: number): Report[] {
  const start = driveStart(daysAgo);
  const turn = PORTO.longitude + 60 * STEP;
  const tens = Array.from({ length: 60 }, (_, at) => at);
  return [
    ...tens.map((at) =>
      vehicle(start + at * 10_000, { longitude: PORTO.longitude + at * STEP, speed: 15, heading: 90 }),
    ),
    ...tens.map((at) => vehicle(start + (600 + at * 10) * 1000, { longitude: turn, speed: 0, heading: 90 })),
    ...tens.map((at) =>
      vehicle(start + (4790 + at * 10) * 1000, {
        longitude: turn,
        latitude: PORTO.latitude + at * STEP,
        speed: 60,
        heading: 0,
      }),
    ),
  ];
}
const DRIVE_REPORTS = 180;

/** Three days ago and yesterday a drive, today three reports, the day before yesterday nothing. */
async function sendDays(drover: Drover): Promise<void> {
  const now = Date.now();
  const today = [3, 2, 1].map((ago) => vehicle(now - ago * 1000, { longitude: PORTO.longitude - ago * STEP }));
  await drover.send([...drive(3), ...drive(1), ...today]);
}

async function openDay(page: Page, drover: Drover, daysAgo: number, more = ''): Promise<void> {
  await page.goto(`${drover.url}/#vehicle/7${VIEW}&day=${dayName(daysAgo)}${more}`);
  await expect(page.getByTestId('history')).toHaveAttribute('data-phase', 'ready');
}

/** Opens a day with its replay standing so many seconds into the drive. */
async function openMoment(page: Page, drover: Drover, seconds: number): Promise<void> {
  await openDay(page, drover, 1, `&t=${new Date(driveStart(1) + seconds * 1000).toISOString()}`);
  await expect.poll(() => replayTime(page)).toBe(seconds);
}

function moment(page: Page) {
  return page.getByTestId('moment');
}

/** Seconds since the drive began. */
async function replayTime(page: Page, daysAgo = 1): Promise<number> {
  return (Number(await moment(page).getAttribute('data-time')) - driveStart(daysAgo)) / 1000;
}

async function markerPlace(page: Page): Promise<{ latitude: number; longitude: number }> {
  const { latitude, longitude } = await page
    .getByTestId('replay-marker')
    .evaluate((marker: HTMLElement) => ({ ...marker.dataset }) as Record<string, string>);
  return { latitude: Number(latitude), longitude: Number(longitude) };
}

async function scrubTo(page: Page, seconds: number): Promise<void> {
  await page.getByRole('slider', { name: 'Time of the replay' }).fill(String(driveStart(1) + seconds * 1000));
}

test('a day is chosen, drawn by speed, summed up and listed', async ({ page, drover }) => {
  await sendDays(drover);
  await page.goto(`${drover.url}/#vehicle/7${VIEW}`);
  await page.getByRole('tab', { name: 'History' }).click();
  await expect(page.getByTestId('summary')).toHaveAttribute('data-reports', '3');
  await expect(page.getByTestId('day')).toHaveAttribute('data-day', dayName(0));
  await expect(page.getByRole('button', { name: 'Next day' })).toBeDisabled();

  await page.getByRole('button', { name: 'Previous day' }).click();
  await expect(page.getByTestId('day')).toHaveAttribute('data-day', dayName(1));
  const summary = page.getByTestId('summary');
  await expect(summary).toHaveAttribute('data-reports', String(DRIVE_REPORTS));
  await expect(summary).toContainText('00:10:00 – 01:39:40');
  await expect(summary).toContainText(/Distance[45],\d km/);
  const entries = page.getByTestId('timeline').getByRole('button');
  await expect(entries.filter({ hasText: 'Trip' })).toHaveCount(2);
  await expect(entries.filter({ hasText: 'No reports' })).toHaveText(/00:29.+01:29/);
  // The stop may begin with the last reports of the way to it.
  await expect(entries.filter({ hasText: 'Stop' }).first()).toContainText(/00:(19|20) – 00:29/);

  const free = { x: 370, y: 60, width: 560, height: 680 };
  const [slow, fast] = [
    [0x8a, 0x1f, 0xa0],
    [0xea, 0x7a, 0x45],
  ] as [[number, number, number], [number, number, number]];
  await expect.poll(() => pixelsOf(page, free, slow)).toBeGreaterThan(100);
  await expect.poll(() => pixelsOf(page, free, fast)).toBeGreaterThan(100);

  await page.getByRole('tab', { name: 'Now' }).click();
  await expect.poll(() => pixelsOf(page, free, fast)).toBe(0);
  await expect.poll(() => page.url()).not.toContain('day=');
});

test('the replay shows where the asset was at the time it is put to', async ({ page, drover }) => {
  await sendDays(drover);
  await openDay(page, drover, 1);
  await page.getByRole('button', { name: 'Replay', exact: true }).click();
  await expect(page.getByTestId('replay-banner')).toContainText('(local time)');
  await page.getByRole('button', { name: 'Pause' }).click();

  await scrubTo(page, 125);
  await expect(moment(page)).toContainText('00:12:05');
  await expect(moment(page)).toContainText('15 km/h · 90° E');
  await expect.poll(async () => (await markerPlace(page)).longitude).toBeCloseTo(PORTO.longitude + 12.5 * STEP, 5);
  // Kept in the middle of the free map, between the cards and above the bar.
  const box = async () => (await page.getByTestId('replay-marker').boundingBox())!;
  await expect.poll(async () => Math.round((await box()).x + (await box()).width / 2)).toBe((360 + 1280 - 340) / 2);

  await page.mouse.move(640, 200);
  await page.mouse.down();
  await page.mouse.move(560, 260, { steps: 5 });
  await page.mouse.up();
  await expect(page.getByRole('button', { name: 'Keep in the middle' })).toHaveAttribute('aria-pressed', 'false');
  const before = (await box()).x;
  await scrubTo(page, 225);
  await expect.poll(async () => (await box()).x - before).toBeGreaterThan(20);

  await page.getByRole('button', { name: '60 times as fast' }).click();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await expect.poll(() => replayTime(page)).toBeGreaterThan(260);
  await page.getByRole('button', { name: 'Pause' }).click();
  const stoodAt = PORTO.longitude + ((await replayTime(page)) / 10) * STEP;
  await expect.poll(async () => (await markerPlace(page)).longitude).toBeCloseTo(stoodAt, 4);
});

test('a trip of the list is brought into view and replayed from its start', async ({ page, drover }) => {
  await sendDays(drover);
  await page.goto(`${drover.url}/#vehicle/7@41.0,-8.0,9&day=${dayName(1)}`);
  await page.getByTestId('timeline').getByRole('button').filter({ hasText: 'Trip' }).last().click();
  const start = await replayTime(page);
  expect(start).toBeGreaterThan(4_000);
  // The northern leg: its middle, and nearer than before.
  await expect.poll(() => mapCentre(page).zoom).toBeGreaterThan(12);
  expect(mapCentre(page).latitude).toBeCloseTo(PORTO.latitude + 30 * STEP, 2);
  expect(await page.getByTestId('moment').getAttribute('data-gap')).toBe('false');
});

test('nothing is made up where there are no reports', async ({ page, drover }) => {
  await sendDays(drover);
  await openMoment(page, drover, 3_000);
  await expect(moment(page)).toContainText('No reports 00:29–01:29');
  const turn = { latitude: PORTO.latitude, longitude: PORTO.longitude + 60 * STEP };
  await expect
    .poll(() => markerPlace(page))
    .toEqual({
      latitude: expect.closeTo(turn.latitude, 5),
      longitude: expect.closeTo(turn.longitude, 5),
    });
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await expect(moment(page)).toHaveAttribute('data-gap', 'false');
  expect(await replayTime(page)).toBeGreaterThanOrEqual(4_790);
});

test('keys play, step, go to the ends and leave', async ({ page, drover }) => {
  await sendDays(drover);
  await openDay(page, drover, 1);
  await page.getByRole('button', { name: 'Replay', exact: true }).click();
  await expect(page.getByRole('button', { name: 'Pause' })).toBeVisible();
  await page.keyboard.press('Space');
  await expect(page.getByRole('button', { name: 'Play', exact: true })).toBeVisible();
  await page.getByRole('slider').focus();

  await page.keyboard.press('Home');
  expect(await replayTime(page)).toBe(0);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect.poll(() => replayTime(page)).toBe(20);
  await page.keyboard.press('ArrowLeft');
  await expect.poll(() => replayTime(page)).toBe(10);
  await page.keyboard.press('End');
  await expect.poll(() => replayTime(page)).toBe(5_380);
  await page.keyboard.press('ArrowUp');
  await expect(page.getByRole('button', { name: '60 times as fast' })).toHaveAttribute('aria-pressed', 'true');

  await page.keyboard.press('Escape');
  await expect(page.getByTestId('replay-bar')).toBeHidden();
  await expect(page.getByTestId('history')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('tab', { name: 'Now' })).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('details')).toBeHidden();
});

test('a click on the trail leads to the moment there', async ({ page, drover }) => {
  await sendDays(drover);
  await openMoment(page, drover, 300);
  const marker = page.getByTestId('replay-marker');
  await expect.poll(async () => Math.round((await marker.boundingBox())?.x ?? 0)).toBe(650 - 22);
  const { x, y, width, height } = (await marker.boundingBox())!;
  await page.mouse.click(x + width / 2 + 40, y + height / 2);
  await expect.poll(() => replayTime(page)).toBeGreaterThan(310);
  expect(await replayTime(page)).toBeLessThan(600);
});

test('the address carries day and moment, and a reload brings them back', async ({ page, drover }) => {
  await sendDays(drover);
  await openMoment(page, drover, 0);
  await scrubTo(page, 345);
  const at = new Date(driveStart(1) + 345_000).toISOString().slice(0, 19);
  await expect.poll(() => page.url()).toContain(`&day=${dayName(1)}&t=${at}Z`);
  await page.reload();
  await expect.poll(() => replayTime(page)).toBe(345);
  await expect(page.getByTestId('day')).toHaveAttribute('data-day', dayName(1));
});

test('an empty day leads to the last one that has reports', async ({ page, drover }) => {
  await sendDays(drover);
  await page.goto(`${drover.url}/#vehicle/7${VIEW}&day=${dayName(2)}`);
  await expect(page.getByTestId('empty-day')).toContainText('No reports on');
  await page.getByRole('button', { name: 'go there' }).click();
  await expect(page.getByTestId('day')).toHaveAttribute('data-day', dayName(3));
  await expect(page.getByTestId('summary')).toHaveAttribute('data-reports', String(DRIVE_REPORTS));
});

test('the calendar marks days with reports and is used by keys', async ({ page, drover }) => {
  await sendDays(drover);
  await openDay(page, drover, 0);
  await page.getByTestId('day').press('Enter');
  const calendar = page.getByRole('dialog', { name: 'Choose a day' });
  await page.keyboard.press('ArrowLeft');
  await expect(calendar.locator(`[data-day="${dayName(1)}"]`)).toBeFocused();
  await expect(calendar.locator(`[data-day="${dayName(1)}"]`)).toHaveAttribute('data-reports', 'true');
  await page.keyboard.press('ArrowLeft');
  await expect(calendar.locator(`[data-day="${dayName(2)}"]`)).toHaveAttribute('data-reports', 'false');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Enter');
  await expect(calendar).toBeHidden();
  await expect(page.getByTestId('day')).toHaveAttribute('data-day', dayName(3));
  await page.getByTestId('day').press('Enter');
  await page.keyboard.press('Escape');
  await expect(calendar).toBeHidden();
  await expect(page.getByTestId('history')).toBeVisible();
});

test('the day can be had as GPX and GeoJSON', async ({ page, drover }) => {
  await sendDays(drover);
  await openDay(page, drover, 1);
  const file = async (name: string) => {
    const href = await page.getByRole('link', { name: `Download ${name}` }).getAttribute('href');
    const answer = await page.request.get(new URL(href!, drover.url).href);
    expect(answer.status()).toBe(200);
    return answer.text();
  };
  const gpx = await file('GPX');
  expect([gpx.match(/<trkseg>/g)?.length, gpx.match(/<trkpt /g)?.length]).toEqual([2, DRIVE_REPORTS]);
  const { features } = JSON.parse(await file('GeoJSON'));
  expect(features[0].geometry.coordinates).toHaveLength(DRIVE_REPORTS);
});

test('what is live goes on in the list while the past is shown', async ({ page, drover }) => {
  await sendDays(drover);
  await openMoment(page, drover, 0);
  await expect(page.locator('.markers')).toHaveAttribute('data-dimmed', 'true');
  await drover.send([{ kind: 'vehicle', id: '7', ...PORTO, speed: 77 }]);
  await expect(page.getByRole('option')).toContainText('77 km/h');
  await expect(page.getByTestId('replay-banner')).toBeVisible();
  await page.getByRole('button', { name: 'End the replay' }).click();
  await expect(page.locator('.markers')).toHaveAttribute('data-dimmed', 'false');
});

test.describe('when history cannot be read', () => {
  test.use({ excused: 'Failed to load resource' });

  test('the page says so and tries again when asked', async ({ page, drover }) => {
    await sendDays(drover);
    const error = { code: 'unavailable', message: 'History is being built.' };
    await page.route('**/vehicles/7/route?*', (route) =>
      route.fulfill({ status: 503, json: { status: 'error', error } }),
    );
    await page.goto(`${drover.url}/#vehicle/7${VIEW}&day=${dayName(1)}`);
    await expect(page.getByTestId('failed-day')).toContainText('History is being built.');
    await page.unroute('**/vehicles/7/route?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(page.getByTestId('summary')).toHaveAttribute('data-reports', String(DRIVE_REPORTS));
  });
});

test.describe('with less motion', () => {
  test.use({ contextOptions: { reducedMotion: 'reduce' } });

  test('the marker goes from report to report over a still map', async ({ page, drover }) => {
    await sendDays(drover);
    await openMoment(page, drover, 127);
    await expect.poll(async () => (await markerPlace(page)).longitude).toBeCloseTo(PORTO.longitude + 12 * STEP, 6);
  });
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a day and its replay fit the phone, ${colorScheme}`, async ({ page, drover }) => {
    await sendDays(drover);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ colorScheme });
    await openDay(page, drover, 1);
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await overflow()).toBeLessThanOrEqual(0);
    await page.getByTestId('timeline').getByRole('button').first().click();
    for (const name of ['Play', 'Next report', '300 times as fast', 'End the replay']) {
      await expect(page.getByRole('button', { name, exact: true })).toBeInViewport({ ratio: 1 });
    }
    await expect(page.getByTestId('replay-banner')).toBeInViewport({ ratio: 1 });
    const marker = await page.getByTestId('replay-marker').boundingBox();
    const bar = await page.getByTestId('replay-bar').boundingBox();
    expect(marker!.y + marker!.height).toBeLessThan(bar!.y);
    expect(await overflow()).toBeLessThanOrEqual(0);

    // Also in a replay the handle has its keys; drawn up, the sheet is above the map's controls.
    await page.getByRole('button', { name: 'Resize the list' }).press('ArrowUp');
    await page.getByRole('button', { name: 'Resize the list' }).press('ArrowUp');
    await page.getByRole('button', { name: 'Close details' }).click();
    await expect(page.getByTestId('details')).toBeHidden();
  });
}

test('a day of 100,000 reports is paged in, drawn once and replayed smoothly', async ({ page, drover }) => {
  const start = midnight(1) + MINUTE_MS;
  const reports = Array.from({ length: 100_000 }, (_, at) =>
    vehicle(start + at * 800, {
      latitude: PORTO.latitude + Math.sin(at / 900) * 0.02 + (at % 3) * 0.00001,
      longitude: PORTO.longitude + Math.cos(at / 1_300) * 0.02,
      speed: 30 + Math.sin(at / 200) * 30,
    }),
  );
  await drover.send(reports);
  const scriptSeconds = await scriptClock(page);
  await openDay(page, drover, 1);
  await expect(page.getByTestId('summary')).toHaveAttribute('data-reports', '100000');
  const loading = await scriptSeconds();

  await page.getByRole('button', { name: 'Replay', exact: true }).click();
  await page.getByRole('button', { name: 'Keep in the middle' }).click();
  await page.getByRole('button', { name: '300 times as fast' }).click();
  const before = { script: await scriptSeconds(), time: await replayTime(page) };
  await expect.poll(async () => (await replayTime(page)) - before.time).toBeGreaterThan(900);
  const replayed = (await replayTime(page)) - before.time;
  const replaying = ((await scriptSeconds()) - before.script) / (replayed / 300);
  console.log('100,000 reports, script:', JSON.stringify({ loading, replaying }));
  expect(loading).toBeLessThan(5);
  expect(replaying).toBeLessThan(0.5);
});

/** Tells the seconds that the page has spent in its scripts: a slow or busy screen does not count. */
async function scriptClock(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'ScriptDuration')?.value ?? Number.NaN;
  };
}
