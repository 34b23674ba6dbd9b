import { afterEach, describe, expect, it, vi } from 'vitest';
import { fileAddress, node, Refused } from './client';

const SPAN = { start: Date.parse('2026-05-27T23:00:00Z'), end: Date.parse('2026-05-28T22:59:59.999Z') };
const SIGNAL = new AbortController().signal;

function answering(answer: () => Response) {
  const fetched = vi.fn((_url: string) => Promise.resolve(answer()));
  vi.stubGlobal('fetch', fetched);
  return fetched;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the node is asked', () => {
  it('for both ends of the day, whatever is in the id', async () => {
    const fetched = answering(() => Response.json({ points: [], count: 0, next_cursor: null }));
    await node.route('driver/a b/c&d', SPAN, SIGNAL, () => {});
    const url = new URL(fetched.mock.calls[0]![0], 'http://node');
    expect(url.pathname).toBe('/api/v1/drivers/a%20b%2Fc%26d/route');
    expect(Object.fromEntries(url.searchParams)).toEqual({
      start_time: '2026-05-27T23:00:00.000Z',
      end_time: '2026-05-28T22:59:59.999Z',
      limit: '20000',
    });
  });

  it('for the next page by its cursor', async () => {
    const cursors = ['c+/=', null];
    const fetched = answering(() => Response.json({ points: [], count: 0, next_cursor: cursors.shift() }));
    await node.route('vehicle/1', SPAN, SIGNAL, () => {});
    expect(new URL(fetched.mock.calls[1]![0], 'http://node').searchParams.get('cursor')).toBe('c+/=');
  });

  it('for files as large as it makes them', () => {
    const { searchParams } = new URL(fileAddress('vehicle/1', SPAN, 'gpx'), 'http://node');
    expect(Object.fromEntries(searchParams)).toMatchObject({ format: 'gpx', limit: '50000' });
  });
});

describe('what went wrong', () => {
  it('is told in the words of the node', async () => {
    const error = { code: 'unavailable', message: 'history is being built', help: 'try again' };
    answering(() => Response.json({ status: 'error', error }, { status: 503 }));
    await expect(node.trips('vehicle/1', SPAN, SIGNAL)).rejects.toMatchObject({ problem: error });
  });

  it('is told by its status when something else answered', async () => {
    answering(() => new Response('<h1>Bad Gateway</h1>', { status: 502 }));
    const failure = await node.coverage('vehicle/1', SIGNAL).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Refused);
    expect(String(failure)).toContain('502');
  });

  it('is no failure of the node when it was called off', async () => {
    const control = new AbortController();
    control.abort();
    vi.stubGlobal('fetch', () => Promise.reject(new DOMException('called off', 'AbortError')));
    await expect(node.coverage('vehicle/1', control.signal)).rejects.not.toBeInstanceOf(Refused);
  });
});
