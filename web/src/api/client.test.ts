import { afterEach, describe, expect, it, vi } from 'vitest';
import { address, change, guard, problemIn, Refused, read, readList, readMarked } from './client';

function answering(answer: () => Response) {
  const fetched = vi.fn((_url: string, _request?: RequestInit) => Promise.resolve(answer()));
  vi.stubGlobal('fetch', fetched);
  return fetched;
}

function refusing(status: number, error: object, headers: Record<string, string> = {}) {
  return answering(() => Response.json({ status: 'error', error }, { status, headers }));
}

afterEach(() => {
  vi.unstubAllGlobals();
  guard.unauthorized = () => {};
});

describe('a request', () => {
  it('leaves out what is not asked for', () => {
    expect(address('users', { page: 2, q: '', status: null, limit: undefined })).toBe('/api/v1/users?page=2');
    expect(address('users')).toBe('/api/v1/users');
  });

  it('that changes something says so, and of which version', async () => {
    const fetched = answering(() => Response.json({ data: { id: 'v-1' } }));
    await change('PATCH', 'vehicles/v-1', { status: 'retired' }, '"7"');
    const [url, request] = fetched.mock.calls[0]!;
    expect(url).toBe('/api/v1/vehicles/v-1');
    expect(request?.headers).toEqual({
      'X-Drover-Request': '1',
      'content-type': 'application/json',
      'if-match': '"7"',
    });
    expect(request?.body).toBe('{"status":"retired"}');
  });

  it('that only reads does not', async () => {
    const fetched = answering(() => Response.json({ data: {} }));
    await read('auth/me');
    expect(fetched.mock.calls[0]![1]?.headers).toBeUndefined();
  });
});

describe('an answer', () => {
  it('is what its envelope holds', async () => {
    answering(() => Response.json({ status: 'success', code: 200, data: { secret: 'x' } }));
    expect(await read('auth/totp')).toEqual({ secret: 'x' });
  });

  it('may be empty', async () => {
    answering(() => new Response(null, { status: 204 }));
    expect(await change('DELETE', 'users/u-1')).toEqual({});
  });

  it('that is a list says its page, or where it goes on', async () => {
    const pagination = { page: 2, limit: 25, total: 60 };
    answering(() => Response.json({ data: [1], meta: { pagination } }));
    expect(await readList('/api/v1/users')).toEqual({ rows: [1], pagination, next: null });
    answering(() => Response.json({ data: [1], meta: { pagination: { limit: 50, next: 17 } } }));
    expect(await readList('/api/v1/audit')).toEqual({ rows: [1], pagination: null, next: 17 });
  });

  it('that is one record carries its version', async () => {
    answering(() => Response.json({ data: { id: 'v-1' } }, { headers: { etag: '"7"' } }));
    expect(await readMarked('vehicles/v-1')).toEqual({ record: { id: 'v-1' }, mark: '"7"' });
  });
});

describe('a refusal', () => {
  it('keeps what the node said, its status, and how long to wait', async () => {
    const error = { code: 'too_many_logins', message: 'too many', help: 'wait', details: { field: 'email' } };
    refusing(429, error, { 'retry-after': '42' });
    const failure = await change('POST', 'auth/login', {}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Refused);
    expect(problemIn(failure)).toEqual({ ...error, status: 429, retryAfterS: 42 });
  });

  it('for want of a login is told to who keeps the login, any other is not', async () => {
    const told = vi.fn();
    guard.unauthorized = told;
    refusing(403, { code: 'forbidden', message: 'no' });
    await expect(read('users')).rejects.toBeInstanceOf(Refused);
    expect(told).not.toHaveBeenCalled();
    refusing(401, { code: 'unauthorized', message: 'log in' });
    await expect(read('users')).rejects.toBeInstanceOf(Refused);
    expect(told).toHaveBeenCalledOnce();
  });

  it('is none of the node when nobody answered', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
    await expect(read('users')).rejects.toMatchObject({ problem: { code: 'unreachable' } });
  });

  it('is not what a fault of the page is taken for', () => {
    expect(() => problemIn(new TypeError('x is undefined'))).toThrow('x is undefined');
  });
});
