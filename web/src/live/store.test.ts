import { beforeEach, describe, expect, it } from 'vitest';
import { toX, toY } from './mercator';
import { LIVE, OFFLINE, SHOWN, STALE } from './motion';
import { FleetStore } from './store';
import type { Asset } from './wire';

const START = Date.parse('2026-11-21T02:00:00Z');
let wall = START;
let store: FleetStore;
let position = 0;

function asset(kind: string, id: string, more: Partial<Asset> = {}): Asset {
  const time = new Date(wall).toISOString();
  return { kind, id, timestamp: time, received_at: time, position: ++position, latitude: 41, longitude: -8, ...more };
}

function ids(): string[] {
  return store.rows.get().map((index) => store.asset(index).id);
}

beforeEach(() => {
  wall = START;
  position = 0;
  store = new FleetStore(
    () => wall - START,
    () => wall,
  );
});

describe('the store', () => {
  it('ignores a change with a lower position than the one held', () => {
    store.load([asset('vehicle', '1', { position: 10, speed: 50 })]);
    store.change([asset('vehicle', '1', { position: 9, speed: 1, latitude: 10 })]);
    expect(store.asset(0).speed).toBe(50);
    expect(store.motion.place(0, store.now())).toEqual([toX(-8), toY(41)]);
  });

  it('derives freshness from the age by the server clock', () => {
    store.setServer(new Date(START + 3_600_000).toISOString(), { live_s: 60, offline_s: 300 });
    store.load([asset('vehicle', '1', { received_at: new Date(START + 3_600_000).toISOString() })]);
    const judged = (seconds: number) => {
      wall = START + seconds * 1000;
      return store.freshnessOf(0);
    };
    expect([judged(60), judged(61), judged(300), judged(301)]).toEqual([LIVE, STALE, STALE, OFFLINE]);
  });

  it('counts what each filter would show', () => {
    store.load([asset('vehicle', '1'), asset('vehicle', '2'), asset('driver', '1'), asset('drone', 'x')]);
    store.refresh();
    expect(store.counts.get()).toMatchObject({ total: 4, matching: 4, freshness: [4, 0, 0], kinds: [2, 1, 0, 0, 1] });
    wall += 100_000;
    store.change([asset('driver', '1')]);
    store.setFilter({ freshness: LIVE });
    expect(ids()).toEqual(['1']);
    expect(store.counts.get()).toMatchObject({ matching: 1, freshness: [1, 3, 0], kinds: [0, 1, 0, 0, 0] });
  });

  it('hides on the map what the filter hides in the list, and newcomers too', () => {
    store.load([asset('vehicle', '1'), asset('driver', '2')]);
    store.setFilter({ kind: 1 });
    store.change([asset('vehicle', '3'), asset('driver', '4')]);
    const shown = [0, 1, 2, 3].map((index) => store.motion.hasFlag(index, SHOWN));
    expect(shown).toEqual([false, true, false, true]);
  });

  it('searches in kind and id, whatever the case', () => {
    store.load([asset('vehicle', 'Van-12'), asset('driver', 'd-12'), asset('driver', 'd-3')]);
    store.setFilter({ text: 'VAN' });
    expect(ids()).toEqual(['Van-12']);
    store.setFilter({ text: 'driver/' });
    expect(ids()).toEqual(['d-3', 'd-12']);
  });

  it('sorts ids as people count, or the latest first', () => {
    store.load(['van-10', 'van-9', 'van-100'].map((id) => asset('vehicle', id)));
    store.refresh();
    expect(ids()).toEqual(['van-9', 'van-10', 'van-100']);
    wall += 5000;
    store.change([asset('vehicle', 'van-100')]);
    store.setFilter({ sort: 'updated' });
    expect(ids()[0]).toBe('van-100');
  });

  it('publishes no new rows when the same assets only moved', () => {
    store.load([asset('vehicle', '1'), asset('vehicle', '2')]);
    store.refresh();
    const rows = store.rows.get();
    store.change([asset('vehicle', '1', { latitude: 41.001 })]);
    store.refresh();
    expect(store.rows.get()).toBe(rows);
  });

  it('lists an asset without a position and does not draw it', () => {
    const { latitude: _, longitude: __, ...placeless } = asset('station', 's');
    store.load([placeless]);
    store.refresh();
    expect(ids()).toEqual(['s']);
    expect(store.motion.hasFlag(0, 4)).toBe(false);
  });

  it('starts a trail at the place before the first movement', () => {
    store.load([asset('vehicle', '1')]);
    expect(store.trails.read(0)).toEqual([]);
    store.change([asset('vehicle', '1', { latitude: 41.01 })]);
    expect(store.trails.read(0)).toEqual([
      [toX(-8), toY(41.01)],
      [toX(-8), toY(41)],
    ]);
  });

  it('keeps a selection made before the asset is known', () => {
    store.select('vehicle/7');
    expect(store.selectedAsset.get()).toBeNull();
    store.load([asset('vehicle', '7', { speed: 3 })]);
    expect(store.selectedAsset.get()?.speed).toBe(3);
  });
});
