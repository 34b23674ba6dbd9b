// A node that asks for credentials, with people and devices who have some: fleets, drivers, a token for each driver, and
// sessions of dispatchers. Made through the public doors, once for a scenario.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startNode } from './harness.mjs';
import { temporaryFolder } from './processes.mjs';

const FLEETS = 50;
/** A user has 50 sessions at most. */
const SESSIONS_EACH = 50;
/** Access tokens last 15 minutes; a run has to begin and open its connections with them. */
const RENEW_AFTER_MS = 8 * 60_000;
const PASSWORD = 'correct battery wagon 71';
/** Requests under way while tokens and sessions are made. */
const AT_ONCE = 16;
/** Limits far above what is measured: they are counted, and refuse nothing. */
const LIMITS = {
  DROVER_DEVICE_REQUESTS_PER_S: '1000000',
  DROVER_DEVICE_BURST_REQUESTS: '1000000',
  DROVER_CALLER_REQUESTS_PER_S: '1000000',
  DROVER_CALLER_BURST_REQUESTS: '1000000',
  DROVER_ADDRESS_REQUESTS_PER_S: '1000000',
  DROVER_ADDRESS_BURST_REQUESTS: '1000000',
};

/** A node that asks for credentials, on a folder; `key` is shown where the node itself is asked about. */
async function startAsking(data, key) {
  const node = await startNode({ data, dev: false, settings: LIMITS });
  if (key) node.headers = { authorization: `Bearer ${key}` };
  node.ask = (token) => async (method, path, body, type = 'application/json') => {
    const answer = await fetch(node.url + path, { method, body, headers: { authorization: `Bearer ${token}`, 'content-type': type } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  node.logIn = async (email, password) => {
    const body = JSON.stringify({ email, password });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${node.url}/api/v1/auth/login`, { method: 'POST', body, headers });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`login of ${email}: ${answer.status} ${text.slice(0, 300)}`);
    return JSON.parse(text).access_token;
  };
  return node;
}

/**
 * Fills a new folder with `devices` drivers in 50 fleets and makes dispatchers for `sessions` logins. Gives the
 * way to start it again, and files of tokens as `drover simulate` reads them: watcher n sees driver n. Access tokens last 15
 * minutes: call `renew` before a run, which logs all of them in.
 */
export async function people({ devices, sessions }) {
  const data = temporaryFolder('people');
  const node = await startAsking(data);
  const [, email, once] = node.stderr.match(/first administrator: (\S+) (\S+)/);
  const admin = await ownPassword(node, email, once);
  const fleet = (at) => `f${at % FLEETS}`;
  for (let at = 0; at < FLEETS; at += 1) await admin('POST', '/api/v1/fleets', JSON.stringify({ id: fleet(at), name: `Fleet ${at}` }));
  const rows = Array.from({ length: devices }, (_, at) => `${driverId(at)},Driver ${at},${fleet(at)}\n`);
  const taken = await admin('POST', '/api/v1/drivers/import', `id,name,fleet_id\n${rows.join('')}`, 'text/csv');
  if (taken.data.created !== devices) throw new Error(`not all drivers were taken: ${JSON.stringify(taken.data).slice(0, 300)}`);
  const deviceLines = await each(devices, async (at) => {
    const made = await admin('POST', '/api/v1/device-tokens', JSON.stringify({ kind: 'driver', id: driverId(at) }));
    return `driver/${driverId(at)} ${made.data.token}\n`;
  });
  // A multiple of the fleets: session n is of a user who sees driver n.
  const users = FLEETS * Math.ceil(sessions / SESSIONS_EACH / FLEETS);
  const address = (at) => `dispatcher${at % users}@example.com`;
  await each(users, async (at) => {
    const user = { email: address(at), name: `Dispatcher ${at}`, role: 'dispatcher', fleets: [fleet(at)] };
    const made = await admin('POST', '/api/v1/users', JSON.stringify(user));
    await ownPassword(node, address(at), made.data.one_time_password);
  });
  const key = await admin('POST', '/api/v1/api-keys', JSON.stringify({ name: 'bench', scopes: ['node.read'], all_fleets: true }));
  const people = { deviceTokens: join(data, 'bench-devices'), watchTokens: join(data, 'bench-sessions') };
  people.start = () => startAsking(data, key.data.secret);
  writeFileSync(people.deviceTokens, deviceLines.join(''));
  let renewed = -Infinity;
  people.renew = async (running) => {
    if (Date.now() - renewed < RENEW_AFTER_MS) return;
    renewed = Date.now();
    const tokens = await each(sessions, (at) => running.logIn(address(at), PASSWORD));
    writeFileSync(people.watchTokens, tokens.map((token) => `${token}\n`).join(''));
  };
  await node.stop();
  return people;
}

export const driverId = (at) => `d${String(at + 1).padStart(6, '0')}`;

/** Takes the place of a password that is good once; gives the way to ask as this user. */
async function ownPassword(node, email, once) {
  const first = node.ask(await node.logIn(email, once));
  await first('POST', '/api/v1/auth/password', JSON.stringify({ current_password: once, new_password: PASSWORD }));
  return node.ask(await node.logIn(email, PASSWORD));
}

/** `work` for 0 to count - 1, some at a time; the results in order. */
async function each(count, work) {
  const results = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const at = next;
      next += 1;
      results[at] = await work(at);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
