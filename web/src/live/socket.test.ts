import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveSocket, type SocketLike } from './socket';
import { FleetStore } from './store';
import type { Asset, ServerMessage } from './wire';

class FakeSocket implements SocketLike {
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  closed = false;
  constructor(readonly since: number | undefined) {}
  close(): void {
    this.closed = true;
  }
  say(message: ServerMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  hello(epoch = 'a'): void {
    this.say({
      type: 'hello',
      server_time: new Date().toISOString(),
      freshness: { live_s: 60, offline_s: 300 },
      epoch,
    });
  }
  page(page: number, last: boolean, at: number, assets: Asset[]): void {
    this.say({ type: 'snapshot', page, last, position: at, total: 4, assets });
  }
}

function asset(id: string, position: number): Asset {
  const now = new Date().toISOString();
  return { kind: 'vehicle', id, position, timestamp: now, received_at: now, latitude: 1, longitude: 1 };
}

let opened: FakeSocket[];
let store: FleetStore;
let socket: LiveSocket;
let alive = true;
const newest = () => opened.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  opened = [];
  store = new FleetStore();
  const open = (since: number | undefined) => {
    opened.push(new FakeSocket(since));
    return newest();
  };
  socket = new LiveSocket(store, open, async () => alive);
  socket.connect();
});

afterEach(() => {
  socket.close();
  vi.useRealTimers();
});

function cutAndReturn(): void {
  newest().onclose?.();
  vi.advanceTimersByTime(60_000);
}

describe('the live socket', () => {
  it('asks for everything first, and after a cut for what it has missed', () => {
    expect(newest().since).toBeUndefined();
    newest().hello();
    newest().page(1, true, 10, [asset('1', 9)]);
    newest().say({ type: 'changes', position: 12, assets: [asset('1', 12)] });
    cutAndReturn();
    expect(opened).toHaveLength(2);
    expect(newest().since).toBe(12);
  });

  it('does not resume from a snapshot that it saw only in part', () => {
    newest().hello();
    newest().page(1, false, 10, [asset('1', 9)]);
    newest().say({ type: 'changes', position: 11, assets: [asset('2', 11)] });
    cutAndReturn();
    expect(newest().since).toBeUndefined();
  });

  it('does not move the resume position within an unfinished resumed snapshot', () => {
    newest().hello();
    newest().page(1, true, 10, [asset('1', 9)]);
    cutAndReturn();
    newest().hello();
    newest().page(1, false, 50, [asset('1', 20)]);
    newest().say({ type: 'changes', position: 51, assets: [asset('1', 51)] });
    cutAndReturn();
    expect(newest().since).toBe(10);
  });

  it('starts over with an empty store when the node tells another epoch', () => {
    newest().hello('a');
    newest().page(1, true, 10, [asset('old', 9)]);
    cutAndReturn();
    const resumed = newest();
    resumed.hello('b');
    expect(resumed.closed).toBe(true);
    expect(newest()).not.toBe(resumed);
    expect(newest().since).toBeUndefined();
    expect(store.size).toBe(0);
    resumed.page(1, true, 3, [asset('late page of the old request', 2)]);
    expect(store.size).toBe(0);
    newest().hello('b');
    newest().page(1, true, 3, [asset('new', 2)]);
    expect(store.find('vehicle/new')).toBe(0);
  });

  it('waits longer from try to try, and says when', () => {
    newest().hello();
    const waits: number[] = [];
    for (let round = 0; round < 8; round++) {
      newest().onclose?.();
      const { phase, retryAt } = socket.connection.get();
      expect(phase).toBe('reconnecting');
      waits.push(retryAt! - Date.now());
      vi.advanceTimersByTime(waits.at(-1)! + 1);
    }
    expect(waits[0]).toBeLessThan(700);
    expect(waits.at(-1)).toBeGreaterThan(11_000);
    expect(waits.at(-1)).toBeLessThanOrEqual(18_000);
    expect(opened).toHaveLength(9);
  });

  it('leaves a line that is silent and dead', async () => {
    newest().hello();
    alive = true;
    await socket.checkQuiet(Date.now() + 30_000);
    expect(socket.connection.get().phase).toBe('live');
    alive = false;
    await socket.checkQuiet(Date.now() + 60_000);
    expect(socket.connection.get().phase).toBe('reconnecting');
    expect(newest().closed).toBe(true);
  });

  it('tells progress while the first snapshot loads', () => {
    newest().hello();
    newest().page(1, false, 10, [asset('1', 1), asset('2', 2)]);
    expect(socket.loading.get()).toEqual({ received: 2, total: 4 });
    newest().page(2, true, 10, [asset('3', 3), asset('4', 4)]);
    expect(socket.loading.get()).toBeNull();
  });

  it('is offline without a network and tries at once when it is back', () => {
    newest().hello();
    socket.networkGone();
    vi.advanceTimersByTime(600_000);
    expect(socket.connection.get().phase).toBe('offline');
    expect(opened).toHaveLength(1);
    socket.reconnect();
    expect(opened).toHaveLength(2);
  });
});
