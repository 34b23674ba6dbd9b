// A real node per test, in a folder of its own, and a page that may neither complain nor talk to anybody else.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, test as base, expect, type Page } from '@playwright/test';

const BINARY = resolve(process.env.DROVER_BIN ?? '../target/release/drover');
/** A folder whose page is tried in place of the one that the binary was built with. */
const PAGE = process.env.PAGE_DIST;
const READY_MS = 20_000;
const BATCH = 1_000;

export interface Report {
  kind: string;
  id: string;
  latitude?: number;
  longitude?: number;
  speed?: number;
  heading?: number;
  timestamp?: string;
}

export class Drover {
  url = '';
  /** Of a node that asks for credentials: who may log in at first, and by what. */
  admin: { email: string; password: string } | null = null;
  private child: ChildProcess | null = null;
  private lastTimestamp = 0;

  constructor(
    private readonly folder: string,
    private readonly secured = false,
  ) {}

  /** On return the node serves, after a restart at the address it had. */
  async start(): Promise<void> {
    const address = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const mode = this.secured ? ['--mqtt', '127.0.0.1:0'] : ['--dev'];
    const child = spawn(BINARY, ['serve', ...mode, '--data', this.folder, '--http', address]);
    this.child = child;
    let complaints = '';
    child.stderr.on('data', (text) => {
      complaints += text;
      const [, email, password] = /^first administrator: (\S+) (\S+)$/m.exec(complaints) ?? [];
      if (email && password) this.admin = { email, password };
    });
    const ready = new Promise<string>((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`not ready in ${READY_MS} ms: ${complaints}`)), READY_MS);
      child.once('error', fail);
      child.once('exit', (code) => fail(new Error(`left with ${code}: ${complaints}`)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const http = /^ready .*?http=(\S+)/.exec(line)?.[1];
        if (!http) return;
        clearTimeout(timer);
        done(`http://${http}`);
      });
    });
    this.url = await ready;
  }

  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  }

  /** On return the reports are in the log; a node that asks for credentials wants a token. Times never repeat, so that none counts as a duplicate. */
  async send(reports: Report[], token?: string): Promise<void> {
    this.lastTimestamp = Math.max(Date.now(), this.lastTimestamp + 1);
    const timestamp = new Date(this.lastTimestamp).toISOString();
    for (let at = 0; at < reports.length; at += BATCH) {
      const batch = reports.slice(at, at + BATCH).map((report) => ({ timestamp, ...report }));
      const answer = await fetch(`${this.url}/api/v1/reports`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
        body: JSON.stringify(batch),
      });
      expect(answer.status, await answer.clone().text()).toBe(202);
    }
  }
}

interface Fixtures {
  drover: Drover;
  /** What the page may say on the console in this test: a regular expression; empty for nothing. */
  excused: string;
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of the fixtures from the pattern
  drover: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'drover-e2e-'));
    const drover = new Drover(folder);
    await drover.start();
    await use(drover);
    await drover.kill();
    await rm(folder, { recursive: true, force: true });
  },
  excused: ['', { option: true }],
  page: async ({ page, drover, excused }, use) => {
    if (PAGE) await servePage(page, drover, resolve(PAGE));
    const complaints: string[] = [];
    const outside: string[] = [];
    page.on('console', (message) => {
      const text = message.text();
      if (['error', 'warning'].includes(message.type()) && !(excused && new RegExp(excused).test(text)))
        complaints.push(text);
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== drover.url) outside.push(request.url());
    });
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).host !== new URL(drover.url).host) outside.push(socket.url());
    });
    await use(page);
    expect(complaints, 'console').toEqual([]);
    expect(outside, 'requests that leave the origin').toEqual([]);
  },
});

export { expect };

/** A page of somebody else: nothing of the first one's login. */
export async function anotherPage(browser: Browser, drover: Drover): Promise<Page> {
  const page = await browser.newPage();
  if (PAGE) await servePage(page, drover, resolve(PAGE));
  return page;
}

/** The files of the page from a folder; everything else is the node's. */
async function servePage(page: Page, drover: Drover, folder: string): Promise<void> {
  const types = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
  const ours = ({ href, pathname }: URL) =>
    href.startsWith(drover.url) && /^\/($|assets\/|map\/|favicon)/.test(pathname);
  await page.route(ours, async (route) => {
    const { pathname } = new URL(route.request().url());
    const file = pathname === '/' ? 'index.html' : pathname.slice(1);
    const contentType = types[file.split('.').at(-1) as keyof typeof types] ?? 'application/octet-stream';
    const body = await readFile(join(folder, file));
    // Streets are read in parts.
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(route.request().headers().range ?? '') ?? [];
    if (!from || !to) return route.fulfill({ body, contentType });
    const part = body.subarray(Number(from), Number(to) + 1);
    const range = `bytes ${from}-${Number(from) + part.length - 1}/${body.length}`;
    return route.fulfill({ status: 206, body: part, contentType, headers: { 'content-range': range } });
  });
}

const LIVE_COLOUR: Colour = [0x0b, 0x6b, 0xcb];

/** Pixels of the live colour within a few pixels of a point of the page: is a marker drawn there? */
export async function markerPixels(page: Page, x: number, y: number): Promise<number> {
  const reach = 12;
  return (await look(page, { x: x - reach, y: y - reach, width: reach * 2, height: reach * 2 }, LIVE_COLOUR)).alike;
}

/** How many different colours a part of the page has: paper alone has one. */
export async function coloursIn(page: Page, clip: Clip): Promise<number> {
  return (await look(page, clip, LIVE_COLOUR)).colours;
}

/** Pixels of a colour in a part of the page. */
export async function pixelsOf(page: Page, clip: Clip, colour: Colour): Promise<number> {
  return (await look(page, clip, colour)).alike;
}

type Colour = [red: number, green: number, blue: number];
type Clip = { x: number; y: number; width: number; height: number };

/** Counts in the page, which can decode pictures. */
async function look(page: Page, clip: Clip, colour: Colour): Promise<{ alike: number; colours: number }> {
  const picture = (await page.screenshot({ clip })).toString('base64');
  const count = async ([base64, wanted]: [string, number[]]) => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    const pen = canvas.getContext('2d')!;
    pen.drawImage(image, 0, 0);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const seen = { alike: 0, colours: new Set(new Uint32Array(data.buffer)).size };
    for (let at = 0; at < data.length; at += 4) {
      if (wanted.every((part, c) => Math.abs(data[at + c]! - part) < 24)) seen.alike++;
    }
    return seen;
  };
  return page.evaluate(count, [picture, colour] as [string, number[]]);
}

/** The map's centre, as the address tells it. */
export function mapCentre(page: Page): { latitude: number; longitude: number; zoom: number } {
  const [latitude = Number.NaN, longitude = Number.NaN, zoom = Number.NaN] =
    new URL(page.url()).hash.split('@')[1]?.split('&')[0]?.split(',').map(Number) ?? [];
  return { latitude, longitude, zoom };
}
