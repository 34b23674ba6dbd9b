// A stand-in for the node's API of people and records, to look at the pages without one: `npm run mock`, then
// http://127.0.0.1:8090, ada@example.com, password "password", code 123456. It keeps nothing and checks little; what
// is true is tested against the real node.

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join, resolve } from 'node:path';

type Row = Record<string, unknown>;
const DIST = resolve(process.env.DIST ?? 'dist');
const PORT = Number(process.env.PORT ?? 8090);
const PERMISSIONS =
  'live.read history.read fleet.read fleet.write stations.read stations.write orders.read orders.write customers.read customers.write users.read users.write keys.manage devices.manage audit.read node.read vault.manage'.split(
    ' ',
  );
const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

const COOKIE = 'drover_session=1';
let tries = 0;
let secret = 'password';
const me: Row = {
  id: 'u-1',
  email: 'ada@example.com',
  name: 'Ada Lovelace',
  role: 'system_admin',
  fleets: [],
  all_fleets: true,
  created_at: ago(99_000),
  recovery_codes_left: 8,
  must_change_password: process.env.FIRST === '1',
  totp: process.env.TOTP === '1',
};
const user = (id: string, name: string, role: string, more: Row = {}): Row => ({
  ...{
    id,
    name,
    email: `${name.split(' ')[0]!.toLowerCase()}@example.com`,
    role,
    fleets: ['f-north'],
    all_fleets: false,
  },
  ...{
    must_change_password: false,
    totp: false,
    disabled: false,
    created_at: ago(9000),
    recovery_codes_left: 8,
    ...more,
  },
});
const times = (count: number, make: (at: number) => Row) => Array.from({ length: count }, (_, at) => make(at));
const tables: Record<string, Row[]> = {
  users: [
    me,
    user('u-2', 'Grace Hopper', 'fleet_manager', { totp: true, fleets: ['f-north', 'f-south'] }),
    user('u-3', 'Ravi Subramaniam-Featherstonehaugh', 'dispatcher', {
      must_change_password: true,
    }),
    user('u-4', 'Old Timer', 'driver', { disabled: true }),
  ],
  fleets: [
    { id: 'f-north', name: 'North', region: 'Porto', status: 'active' },
    { id: 'f-south', name: 'South', region: 'Lisboa', status: 'active' },
  ],
  vehicles: times(62, (at) => ({
    ...{ id: `van-${at + 1}`, registration_number: `AA-${10 + at}-XY`, class: 'van', make: 'Renault', model: 'Kangoo' },
    ...{ fleet_id: at % 2 ? 'f-north' : 'f-south', status: at % 9 ? 'active' : 'maintenance', max_speed_kmh: 130 },
  })),
  drivers: times(3, (at) => ({ id: `d-${at}`, name: `Driver ${at}`, phone: '+351 910 000 000', status: 'active' })),
  customers: [],
  deliveries: times(4, (at) => ({
    ...{ id: `del-${at}`, order_id: `order_${at}`, tracking_number: `TRK7XK2M9QW4${at}`, customer_id: `c-${at}` },
    ...{ driver_id: 'd-1', status: 'out_for_delivery', window_end: ago(-120) },
  })),
  'api-keys': [
    {
      ...{ id: 'k-1', name: 'Shop', scopes: ['orders.read', 'orders.write'], fleets: ['f-north'], all_fleets: false },
      ...{ created_at: ago(9000), expires_at: ago(-99_999), last_used_at: ago(3) },
    },
  ],
  'device-tokens': [{ id: 't-1', kind: 'driver', device_id: 'd-1', created_at: ago(500) }],
  certificates: [
    { serial: '3f0c77a1b2', kind: 'station', id: 's-1', expires_at: ago(-400_000), revoked_at: null },
    { serial: '99aa77a1b2', kind: 'vehicle', id: 'van-1', expires_at: ago(-400_000), revoked_at: ago(60) },
  ],
  'auth/sessions': [
    {
      id: 'x-1',
      current: true,
      created_at: ago(50),
      seen_at: ago(0),
      address: '192.0.2.7',
      agent: 'Mozilla/5.0 (X11; Linux) Chrome/130 Safari/5',
    },
    {
      id: 'x-2',
      current: false,
      created_at: ago(5000),
      seen_at: ago(70),
      address: '198.51.100.23',
      agent: 'Mozilla/5.0 (iPhone; CPU) Version/17 Safari/605',
    },
  ],
  audit: times(8, (at) => ({
    ...{
      seq: 108 - at,
      time_ms: Date.now() - at * 420_000,
      actor: 'user/u-1',
      action: at % 3 ? 'vehicles.update' : 'auth.login',
    },
    ...{ subject: `vehicles/van-${at}`, fleet: 'f-north', address: '192.0.2.7', outcome: at === 3 ? 'refused' : 'ok' },
    ...(at % 3 ? { before: { status: 'active' }, after: { status: 'maintenance' } } : { before: null, after: null }),
  })),
};
const once: Record<string, () => Row> = {
  users: () => ({ one_time_password: 'h7kq2-m9xw4-tr3pz-c8vna' }),
  'api-keys': () => ({ secret: 'dk_9Xq2Lw7RmT4vBn8ZcYh3KpJf6Sd1Ga5Eu0' }),
  'device-tokens': () => ({ token: 'dt_4vBn8ZcYh3KpJf6Sd1Ga5Eu09Xq2Lw7RmT' }),
  certificates: () => ({
    serial: '01ab',
    certificate: `-----BEGIN CERTIFICATE-----\n${'MIIB'.repeat(90)}\n-----END CERTIFICATE-----`,
    key: `-----BEGIN PRIVATE KEY-----\n${'MC4C'.repeat(40)}\n-----END PRIVATE KEY-----`,
  }),
};

class Refusal {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly more: Row = {},
    readonly wait?: number,
  ) {}
}

function login({ password, totp, recovery_code }: Row): Row {
  if (++tries > 6) throw new Refusal(429, 'too_many_logins', {}, 75);
  if (password !== secret) throw new Refusal(401, 'wrong_credentials');
  if (me.totp && !totp && !recovery_code) throw new Refusal(401, 'totp_required');
  if (me.totp && totp !== '123456' && !recovery_code) throw new Refusal(401, 'wrong_credentials');
  tries = 0;
  return { user: me, access_token: 'a' };
}

function auth(method: string, what: string, sent: Row): unknown {
  switch (`${method} ${what}`) {
    case 'POST login':
      return login(sent);
    case 'GET options':
      return { dev: false, password: true, oidc: 'Example ID' };
    case 'GET me':
      return { ...me, subject: 'user/u-1', permissions: PERMISSIONS, user: { version: 1, ...me } };
    case 'POST logout':
      return {};
    case 'POST password':
      if (sent.current_password !== secret) throw new Refusal(401, 'wrong_credentials');
      if (String(sent.new_password).length < 12)
        throw new Refusal(422, 'out_of_range', { details: { field: 'new_password' } });
      me.must_change_password = false;
      secret = String(sent.new_password);
      return {};
    case 'POST totp':
      if (sent.password !== secret) throw new Refusal(401, 'wrong_credentials');
      return {
        secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP',
        url: 'otpauth://totp/Drover:ada@example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Drover',
      };
    case 'POST totp/confirm':
      if (sent.code !== '123456') throw new Refusal(422, 'out_of_range', { details: { field: 'code' } });
      me.totp = true;
      return { recovery_codes: times(8, () => ({})).map((_, at) => `k${at}7q-m9xw-tr3p-c8vn`) };
    case 'DELETE totp':
      me.totp = false;
      return {};
  }
  throw new Refusal(404, 'not_found');
}

/** The usual ways of a table: `vehicles`, `vehicles/van-1`, `users/u-1/password`. */
function table(method: string, path: string, sent: Row, asked: URLSearchParams): Row {
  const name = Object.keys(tables).find((name) => path === name || path.startsWith(`${name}/`));
  if (!name && method === 'GET' && !path.includes('/')) return page([], asked);
  if (!name) throw new Refusal(404, 'not_found');
  const rows = tables[name]!;
  const [id, act] = path.slice(name.length + 1).split('/');
  const found = rows.find((row) => String(row.id ?? row.serial) === id);
  if (method === 'GET' && !id) return page(rows, asked);
  if (method === 'POST' && !id) {
    const made = {
      id: `x-${rows.length}`,
      scopes: [],
      fleets: [],
      created_at: ago(0),
      expires_at: ago(-9999),
      device_id: sent.id,
      ...sent,
    };
    rows.unshift(made);
    return { data: { ...made, user: made, key: made, device_token: made, ...once[name]?.() } };
  }
  if (act) return { data: { ...once[name]?.(), ...(act === 'status' ? Object.assign(found ?? {}, sent) : {}) } };
  if (method === 'DELETE') tables[name] = rows.filter((row) => row !== found);
  return { data: method === 'PATCH' ? Object.assign(found ?? {}, sent) : found };
}

function page(rows: Row[], asked: URLSearchParams): Row {
  const number = Number(asked.get('page') ?? 1);
  const limit = Number(asked.get('limit') ?? 25);
  const matching = rows.filter(
    (row) =>
      JSON.stringify(row).includes(asked.get('q') ?? '') &&
      (!asked.get('status') || row.status === asked.get('status')),
  );
  const data = matching.slice((number - 1) * limit, number * limit);
  return { data, meta: { pagination: { page: number, limit, total: matching.length } } };
}

async function answer(request: IncomingMessage, path: string, asked: URLSearchParams): Promise<Row> {
  const method = request.method ?? 'GET';
  let text = '';
  for await (const part of request) text += part;
  const sent = (text ? JSON.parse(text) : {}) as Row;
  if (method !== 'GET' && request.headers['x-drover-request'] !== '1') throw new Refusal(403, 'forbidden');
  if (path === 'info') return { name: 'drover', version: '0', mode: 'secured', server_time: ago(0), demo: null };
  const loggedIn = request.headers.authorization ?? request.headers.cookie?.includes(COOKIE);
  if (!loggedIn && !['auth/login', 'auth/options'].includes(path)) throw new Refusal(401, 'unauthorized');
  if (path === 'auth/sessions') return { sessions: tables[path] };
  if (path === 'audit/verify') return { data: { sound: true, entries: 108, fault: null } };
  if (path.startsWith('auth/') && !path.startsWith('auth/sessions')) return auth(method, path.slice(5), sent) as Row;
  return table(method, path, sent, asked);
}

async function file(path: string, response: ServerResponse): Promise<void> {
  const name = path === '/' ? '/index.html' : path;
  const content = await readFile(join(DIST, name)).catch(() => null);
  response.writeHead(content ? 200 : 404, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' });
  response.end(content);
}

createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://mock');
  if (!url.pathname.startsWith('/api/v1/')) return file(url.pathname, response);
  const json = { 'content-type': 'application/json' };
  try {
    const body = await answer(request, url.pathname.slice('/api/v1/'.length), url.searchParams);
    const cookie: Row = {
      '/api/v1/auth/login': `${COOKIE}; Path=/; HttpOnly; SameSite=Strict`,
      '/api/v1/auth/logout': 'drover_session=; Path=/; Max-Age=0',
    };
    const set = cookie[url.pathname] as string | undefined;
    response.writeHead(200, { ...json, ...(set ? { 'set-cookie': set } : {}) }).end(JSON.stringify(body));
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    const { status, code, more, wait } = problem;
    const error = { code, message: `Refused: ${code}.`, ...more };
    response.writeHead(status, { ...json, ...(wait ? { 'retry-after': String(wait) } : {}) });
    response.end(JSON.stringify({ status: 'error', error }));
  }
}).listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}`));
