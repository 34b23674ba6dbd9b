// A node that asks for credentials, with its first administrator, and the ways of people through the page.

import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { test as base, Drover, expect } from './drover';

export interface Person {
  email: string;
  password: string;
}

export const PASSWORD = 'several plain words';
const STEP_S = 30;

interface Fixtures {
  /** The administrator, with a password of his own. */
  admin: Person;
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of the fixtures from the pattern
  drover: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'drover-e2e-'));
    const drover = new Drover(folder, true);
    await drover.start();
    await use(drover);
    await drover.kill();
    await rm(folder, { recursive: true, force: true });
  },
  // What is refused is what is looked at here, and browsers complain of each.
  excused: 'responded with a status of (4(01|04|09|12|22|29)|503)|WebSocket connection to .* failed',
  admin: async ({ drover }, use) => {
    const admin = { email: drover.admin!.email, password: PASSWORD };
    const asked = await api(drover, drover.admin!);
    await asked('POST', 'auth/password', { current_password: drover.admin!.password, new_password: PASSWORD });
    await use(admin);
  },
});

export { expect };

type Ask = <Data>(method: string, path: string, sent?: object) => Promise<Data>;

/** The API as this person, whose login it makes. */
export async function api(drover: Drover, { email, password }: Person): Promise<Ask> {
  let token = '';
  const ask: Ask = async (method, path, sent) => {
    const answer = await fetch(`${drover.url}/api/v1/${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        'x-drover-request': '1',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      ...(sent ? { body: JSON.stringify(sent) } : {}),
    });
    const text = await answer.text();
    expect(answer.ok, `${method} ${path}: ${answer.status} ${text}`).toBe(true);
    return opened(text) as never;
  };
  token = (await ask<{ access_token: string }>('POST', 'auth/login', { email, password })).access_token;
  return ask;
}

function opened(text: string): unknown {
  const body = text ? JSON.parse(text) : undefined;
  return body && 'data' in body ? body.data : body;
}

/** A user with a password of his own. */
export async function makeUser(drover: Drover, admin: Person, email: string, more: object): Promise<Person> {
  const asAdmin = await api(drover, admin);
  const made = await asAdmin<{ one_time_password: string }>('POST', 'users', { email, name: '', ...more });
  const asked = await api(drover, { email, password: made.one_time_password });
  await asked('POST', 'auth/password', { current_password: made.one_time_password, new_password: PASSWORD });
  return { email, password: PASSWORD };
}

/** Fills the login in; on return it is sent. */
export async function logIn(page: Page, { email, password }: Person): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
}

/** Opens a page as this person. */
export async function openAs(page: Page, drover: Drover, person: Person, hash: string): Promise<void> {
  await page.goto(`${drover.url}/${hash}`);
  await logIn(page, person);
  await expect(page.getByRole('button', { name: 'Account', exact: true })).toBeVisible();
}

/** Chooses from the menu of a row. */
export async function rowAction(page: Page, row: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${row}` }).click();
  await page.getByRole('menuitem', { name: action }).click();
}

/** Finds something by its name in a field that looks it up, and takes it. */
export async function pick(page: Page, label: string | RegExp, name: string): Promise<void> {
  const field = page.getByRole('combobox', { name: label });
  await field.fill(name);
  await page.getByRole('option', { name }).click();
  await expect(field).toHaveValue(name);
}

/** What an authenticator app shows, `steps` of 30 s from now. */
export function totpCode(secret: string, steps = 0): string {
  const counter = Buffer.alloc(8);
  counter.writeBigInt64BE(BigInt(Math.floor(Date.now() / 1000 / STEP_S) + steps));
  const digest = createHmac('sha1', fromBase32(secret)).update(counter).digest();
  const at = digest.at(-1)! & 0x0f;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

function fromBase32(text: string): Buffer {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...text.replace(/\s/g, '')].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0'));
  const bytes = bits.join('').match(/.{8}/g) ?? [];
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte, 2)));
}
