import { coloursIn, expect, mapCentre, markerPixels, type Report, test } from './drover';

const PORTO = { latitude: 41.15, longitude: -8.61 };
/** At this zoom 0.002 degrees of longitude are about 93 pixels. */
const VIEW = '@41.15,-8.61,15';
/** Middle of the map beside the list, at 1280 x 800. */
const MIDDLE = { x: 820, y: 400 };
const EAST = 0.002;
const EAST_PX = (EAST / 360) * 512 * 2 ** 15;

function vehicle(id: string, more: Partial<Report> = {}): Report {
  return { kind: 'vehicle', id, ...PORTO, speed: 30, heading: 90, ...more };
}

const MIXED: Report[] = [
  vehicle('van-9'),
  vehicle('van-10', { latitude: 41.151 }),
  { kind: 'driver', id: 'anna', latitude: 41.152, longitude: -8.612 },
  { kind: 'station', id: 'st-1', latitude: 41.148, longitude: -8.608 },
];

test('an empty node shows the command that sends a first report', async ({ page, drover }) => {
  await page.goto(drover.url);
  await expect(page.getByTestId('empty')).toContainText(`curl -X POST ${drover.url}/api/v1/vehicles/`);
  await expect(page.getByTestId('connection')).toHaveText('Live');
  await drover.send([vehicle('first')]);
  await expect(page.getByTestId('empty')).toBeHidden();
  await expect(page.getByRole('option')).toContainText('first');
});

test('assets appear and move on the map without a reload', async ({ page, drover }) => {
  await page.goto(`${drover.url}/#${VIEW}`);
  await expect(page.getByTestId('empty')).toBeVisible();
  expect(await markerPixels(page, MIDDLE.x, MIDDLE.y)).toBe(0);

  await drover.send([vehicle('7')]);
  await expect(page.getByRole('option')).toContainText('30 km/h');
  await expect.poll(() => markerPixels(page, MIDDLE.x, MIDDLE.y)).toBeGreaterThan(20);

  await drover.send([vehicle('7', { longitude: PORTO.longitude + EAST, speed: 44 })]);
  await expect(page.getByRole('option')).toContainText('44 km/h');
  await expect.poll(() => markerPixels(page, MIDDLE.x + EAST_PX, MIDDLE.y)).toBeGreaterThan(20);
  expect(await markerPixels(page, MIDDLE.x, MIDDLE.y)).toBe(0);
});

test('search and filters narrow list and map, with counts', async ({ page, drover }) => {
  await drover.send(MIXED);
  await page.goto(`${drover.url}/#${VIEW}`);
  await expect(page.getByRole('option')).toHaveCount(4);
  await expect(page.getByRole('button', { name: 'Live 4' })).toBeVisible();
  await expect.poll(() => markerPixels(page, MIDDLE.x, MIDDLE.y)).toBeGreaterThan(20);

  await page.getByRole('button', { name: 'Drivers 1' }).click();
  await expect(page.getByRole('option')).toHaveCount(1);
  await expect(page.getByTestId('shown')).toHaveText('1 of 4 assets');
  await expect.poll(() => markerPixels(page, MIDDLE.x, MIDDLE.y)).toBe(0);
  await page.getByRole('button', { name: 'Drivers 1' }).click();

  await page.getByLabel('Search by id', { exact: true }).fill('van');
  await expect(page.getByRole('option')).toHaveText([/van-9/, /van-10/]);
  await page.getByLabel('Search by id', { exact: true }).fill('nobody');
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(page.getByRole('option')).toHaveCount(4);
});

test('the latest report comes first when sorted so', async ({ page, drover }) => {
  await drover.send(MIXED);
  await page.goto(drover.url);
  await expect(page.getByRole('option').first()).toContainText('anna');
  await page.getByRole('button', { name: 'Sort: By id' }).click();
  await drover.send([vehicle('van-10', { speed: 3 })]);
  await expect(page.getByRole('option').first()).toContainText('van-10');
});

test('selected in the list, on the map, by keyboard and by link', async ({ page, drover }) => {
  await drover.send(MIXED);
  await page.goto(`${drover.url}/#${VIEW}`);
  const details = page.getByTestId('details');

  await page.getByRole('option', { name: /anna/ }).click();
  await expect(details.getByRole('heading', { name: 'anna' })).toBeVisible();
  await expect(details).toContainText('41.15200, -8.61200');
  await expect.poll(() => page.url()).toContain('#driver/anna@');
  await page.keyboard.press('Escape');
  await expect(details).toBeHidden();

  await expect.poll(() => markerPixels(page, MIDDLE.x, MIDDLE.y)).toBeGreaterThan(20);
  await page.mouse.click(MIDDLE.x, MIDDLE.y);
  await expect(details.getByRole('heading', { name: 'van-9' })).toBeVisible();
  await expect(page.getByRole('option', { name: /van-9/ })).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('Escape');

  await page.keyboard.press('/');
  await page.keyboard.type('van');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(details.getByRole('heading', { name: 'van-10' })).toBeVisible();

  await page.goto('about:blank');
  await page.goto(`${drover.url}/#station/st-1`);
  await expect(details.getByRole('heading', { name: 'st-1' })).toBeVisible();
  await expect.poll(() => mapCentre(page).latitude).toBeCloseTo(41.148, 3);
});

test('follow keeps the asset in the middle until the map is dragged', async ({ page, drover }) => {
  await drover.send([vehicle('7')]);
  await page.goto(`${drover.url}/#vehicle/7${VIEW}`);
  const follow = page.getByRole('button', { name: /^Follow/ });
  await follow.focus();
  await page.keyboard.press('f');
  await expect(follow).toHaveAttribute('aria-pressed', 'true');

  for (let step = 1; step <= 3; step++) {
    const longitude = PORTO.longitude + step * EAST;
    await drover.send([vehicle('7', { longitude })]);
    await expect.poll(() => mapCentre(page).longitude).toBeCloseTo(longitude, 4);
  }
  // With the details open the free middle of the map is between the two cards.
  const middle = (360 + 1280 - 340) / 2;
  await expect.poll(() => markerPixels(page, middle, MIDDLE.y)).toBeGreaterThan(20);

  await page.mouse.move(middle, 600);
  await page.mouse.down();
  await page.mouse.move(middle + 90, 520, { steps: 5 });
  await page.mouse.up();
  await expect(follow).toHaveAttribute('aria-pressed', 'false');
});

test('the trail grows with every movement since the page was opened', async ({ page, drover }) => {
  await drover.send([vehicle('7')]);
  await page.goto(`${drover.url}/#vehicle/7${VIEW}`);
  const trail = page.getByTestId('trail');
  await expect(trail).toHaveAttribute('data-points', '0');
  for (let step = 1; step <= 3; step++) {
    await drover.send([vehicle('7', { longitude: PORTO.longitude + step * 0.0005 })]);
    await expect(trail).toHaveAttribute('data-points', String(step + 1));
  }
});

test.describe('when the node dies', () => {
  test.use({ excused: 'WebSocket connection to .* failed|ERR_CONNECTION_REFUSED' });

  test('the page says so, keeps the picture, comes back and resumes', async ({ page, drover }) => {
    await drover.send(MIXED);
    const asked: string[] = [];
    page.on('websocket', (socket) => asked.push(new URL(socket.url()).search));
    await page.goto(`${drover.url}/#${VIEW}`);
    await expect(page.getByRole('option')).toHaveCount(4);
    // The map's own files are there: what it still asked for would be missed aloud.
    await expect(page.getByTestId('drawn')).toHaveAttribute('data-drawn', 'true', { timeout: 60_000 });

    await drover.kill();
    await expect(page.getByTestId('connection')).toContainText('Reconnecting');
    await expect(page.getByText('The map shows the last known positions.')).toBeVisible();
    await expect(page.getByRole('option')).toHaveCount(4);

    await drover.start();
    await drover.send([vehicle('van-9', { speed: 77 }), vehicle('new')]);
    await expect(page.getByTestId('connection')).toHaveText('Live', { timeout: 30_000 });
    await expect(page.getByRole('option')).toHaveCount(5);
    await expect(page.getByRole('option', { name: /van-9/ })).toContainText('77 km/h');
    expect(asked[0]).toBe('');
    expect(asked.at(-1)).toMatch(/^\?since=\d+$/);
  });
});

for (const [name, size] of [
  ['desk', { width: 1280, height: 800 }],
  ['phone', { width: 390, height: 844 }],
] as const) {
  test(`fits the ${name}, dark and light, and remembers the choice`, async ({ page, drover }) => {
    await drover.send(MIXED);
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.goto(drover.url);
    await expect(page.getByRole('option').first()).toBeVisible();
    const html = page.locator('html');
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await expect(html).toHaveAttribute('data-theme', 'dark');
    expect(await overflow()).toBeLessThanOrEqual(0);

    await page.getByRole('option', { name: /anna/ }).click();
    await expect(page.getByTestId('details')).toBeInViewport();
    expect(await overflow()).toBeLessThanOrEqual(0);

    await page.getByRole('button', { name: 'Switch to light' }).click();
    await expect(html).toHaveAttribute('data-theme', 'light');
    await page.reload();
    await expect(html).toHaveAttribute('data-theme', 'light');
  });
}

test('the phone sheet grows and shrinks by its handle', async ({ page, drover }) => {
  await drover.send(MIXED);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(drover.url);
  const handle = page.getByRole('button', { name: 'Resize the list' });
  const top = async () => (await handle.boundingBox())?.y ?? Number.NaN;
  await handle.press('ArrowUp');
  await expect.poll(top).toBeLessThan(100);
  await handle.press('ArrowDown');
  await handle.press('ArrowDown');
  await expect.poll(top).toBeGreaterThan(600);
});

test('on the phone the map shows the fleet beside the sheet, not under it', async ({ page, drover }) => {
  await drover.send([vehicle('7', { speed: 0 })]);
  const size = { width: 390, height: 844 };
  await page.setViewportSize(size);
  await page.goto(drover.url);
  const boxOf = async (part: string) => (await page.locator(part).boundingBox())!;
  await expect(page.getByRole('option')).toContainText('7');
  const head = await boxOf('.top');
  const sheet = await boxOf('.sheet');
  const middle = () => markerPixels(page, size.width / 2, (head.y + head.height + sheet.y) / 2);
  await expect.poll(middle).toBeGreaterThan(20);
  await page.getByRole('button', { name: 'Zoom out' }).click();
  await page.getByRole('button', { name: 'Show all' }).click();
  await expect.poll(middle).toBeGreaterThan(20);
});

test('streets are drawn from the node alone', async ({ page, drover }) => {
  const tiles = page.waitForResponse((answer) => answer.url().endsWith('/map/porto.pmtiles') && answer.ok());
  await page.goto(`${drover.url}/#${VIEW}`);
  expect((await tiles).status()).toBe(206);
  await expect(page.getByTestId('drawn')).toHaveAttribute('data-drawn', 'true', { timeout: 60_000 });
  const street = { x: 400, y: 50, width: 800, height: 700 };
  expect(await coloursIn(page, street)).toBeGreaterThan(30);
  await expect(page.getByText('OpenStreetMap contributors')).toBeAttached();
});

test('ten thousand moving assets load and leave the page responsive', async ({ page, drover }) => {
  const fleet = Array.from({ length: 10_000 }, (_, at) =>
    vehicle(String(at), { latitude: 41.1 + (at % 100) * 0.001, longitude: -8.7 + Math.floor(at / 100) * 0.0018 }),
  );
  await drover.send(fleet);
  await page.addInitScript(() => {
    const tasks: number[] = [];
    Object.assign(window, { longTasks: tasks });
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({
      type: 'longtask',
    });
  });
  await page.goto(`${drover.url}/?fps=1#@41.15,-8.61,12`);
  await expect(page.getByTestId('shown')).toHaveText('10.000 assets');
  expect(await page.getByRole('option').count()).toBeLessThan(40);
  await expect(page.getByTestId('drawn')).toHaveAttribute('data-drawn', 'true', { timeout: 60_000 });

  await page.evaluate(() => ((window as unknown as { longTasks: number[] }).longTasks.length = 0));
  const began = Date.now();
  for (let round = 1; round <= 4; round++) {
    await drover.send(
      fleet.map((report) => ({ ...report, longitude: report.longitude! + round * 0.0002, speed: 40 + round })),
    );
  }
  await expect(page.getByRole('option').first()).toContainText('44 km/h');
  const asked = Date.now();
  await page.getByLabel('Search by id', { exact: true }).fill('9999');
  await expect(page.getByTestId('shown')).toHaveText('1 of 10.000 assets');
  const answered = Date.now() - asked;
  const tasks = await page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks);
  const busy = tasks.reduce((sum, ms) => sum + ms, 0) / (Date.now() - began);
  const figures = {
    longest: Math.max(0, ...tasks),
    busy: +busy.toFixed(2),
    answered,
    fps: await page.getByTestId('fps').textContent(),
  };
  console.log('10,000 assets:', JSON.stringify(figures));
  expect(figures.longest).toBeLessThan(500);
  expect(figures.busy).toBeLessThan(0.7);
  expect(answered).toBeLessThan(3_000);
});
