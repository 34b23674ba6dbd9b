import { beforeEach, describe, expect, it } from 'vitest';
import { type HistorySource, Refused } from './client';
import { daySpan, type Span } from './days';
import type { RouteRead } from './paging';
import { HistoryStore } from './store';
import type { TripsAnswer } from './wire';

const DAY = '2026-05-28';
const NOON = daySpan(DAY).start + 12 * 3_600_000;
const TRIPS: TripsAnswer = {
  definition: { max_gap_s: 60 },
  trips: [],
  stops: [],
  summary: { trips: 0, stops: 0, distance_m: 0, driving_s: 0, stopped_s: 0 },
};

/** A node whose answers the test gives, one by one. */
class Asked implements HistorySource {
  routes: {
    key: string;
    span: Span;
    signal: AbortSignal;
    answer: (read: RouteRead) => void;
    fail: (error: Error) => void;
  }[] = [];
  tripsFail = false;
  covered: string[] = [];

  route(key: string, span: Span, signal: AbortSignal, onProgress: (points: number) => void): Promise<RouteRead> {
    onProgress(7);
    return new Promise((answer, fail) => this.routes.push({ key, span, signal, answer, fail }));
  }
  trips(): Promise<TripsAnswer> {
    return this.tripsFail ? Promise.reject(new Error('no trips')) : Promise.resolve(TRIPS);
  }
  coverage() {
    const days = this.covered.map((day) => ({ day, reports: 1, first: `${day}T12:00:00Z`, last: `${day}T12:00:00Z` }));
    return Promise.resolve({ days });
  }
}

let asked: Asked;
let history: HistoryStore;

function read(...seconds: number[]): RouteRead {
  const points = seconds.map((second) => ({
    timestamp: new Date(NOON + second * 1000).toISOString(),
    latitude: 41,
    longitude: -8,
  }));
  return { points, simplified: null, cut: false };
}

/** Everything that was answered has been taken in. */
function settled(): Promise<void> {
  return new Promise((done) => setTimeout(done, 0));
}

beforeEach(() => {
  asked = new Asked();
  history = new HistoryStore(asked);
});

describe('history', () => {
  it('asks for the local day, shows progress, then the day', async () => {
    history.open('vehicle/1', DAY);
    expect(history.view.get()).toEqual({ phase: 'loading', received: 7 });
    expect(asked.routes[0]).toMatchObject({ key: 'vehicle/1', span: daySpan(DAY) });
    asked.routes[0]!.answer(read(0, 30, 200));
    await settled();
    const view = history.view.get();
    expect(view).toMatchObject({ phase: 'ready', shown: { day: DAY, trips: TRIPS } });
    expect(view.phase === 'ready' && view.shown.gaps).toEqual([{ start: NOON + 30_000, end: NOON + 200_000 }]);
  });

  it('ignores and calls off what it no longer shows', async () => {
    history.open('vehicle/1', DAY);
    history.open('vehicle/1', '2026-05-29');
    expect(asked.routes[0]!.signal.aborted).toBe(true);
    asked.routes[1]!.answer(read());
    await settled();
    asked.routes[0]!.answer(read(0));
    await settled();
    expect(history.view.get()).toEqual({ phase: 'empty', unplaced: 0 });
  });

  it('starts the replay where it was asked to, once the day is here', async () => {
    history.open('vehicle/1', DAY, NOON + 10_000);
    expect(history.replay.on.get()).toBe(false);
    asked.routes[0]!.answer(read(0, 30));
    await settled();
    expect(history.replay.shown.get()).toMatchObject({ time: NOON + 10_000 });
    history.open('vehicle/1', DAY, NOON + 20_000);
    expect(history.replay.shown.get()).toMatchObject({ time: NOON + 20_000 });
    expect(asked.routes).toHaveLength(1);
  });

  it('shows the trail when trips cannot be told', async () => {
    asked.tripsFail = true;
    history.open('vehicle/1', DAY);
    asked.routes[0]!.answer(read(0, 30));
    await settled();
    expect(history.view.get()).toMatchObject({ phase: 'ready', shown: { trips: null } });
  });

  it('says what went wrong and tries again', async () => {
    history.open('vehicle/1', DAY);
    asked.routes[0]!.fail(new Refused({ code: 'unavailable', message: 'history is behind', help: 'wait' }));
    await settled();
    expect(history.view.get()).toMatchObject({ phase: 'error', problem: { code: 'unavailable', help: 'wait' } });
    history.retry();
    asked.routes[1]!.answer(read(0));
    await settled();
    expect(history.view.get().phase).toBe('ready');
  });

  it('grows without hiding what is shown, also when the node fails meanwhile', async () => {
    history.open('vehicle/1', DAY);
    asked.routes[0]!.answer(read(0));
    await settled();
    history.replay.seek(NOON);
    history.refresh();
    expect(history.view.get().phase).toBe('ready');
    asked.routes[1]!.answer(read(0, 10));
    await settled();
    expect(history.view.get()).toMatchObject({ shown: { track: { length: 2 } } });
    expect(history.replay.on.get()).toBe(true);
    history.refresh();
    asked.routes[2]!.fail(new Error('gone'));
    await settled();
    expect(history.view.get().phase).toBe('ready');
  });

  it('tells a day of reports without a place from one without reports', async () => {
    history.open('station/1', DAY);
    asked.routes[0]!.answer({ points: [{ timestamp: new Date(NOON).toISOString() }], simplified: null, cut: false });
    await settled();
    expect(history.view.get()).toEqual({ phase: 'empty', unplaced: 1 });
  });

  it('offers files of a day only when it knows all its reports', async () => {
    history.open('vehicle/1', DAY);
    asked.routes[0]!.answer(read(0, 30));
    await settled();
    expect(history.view.get()).toMatchObject({ shown: { reports: 2, files: [daySpan(DAY)] } });
    history.refresh();
    asked.routes[1]!.answer({ ...read(0, 30), simplified: { tolerance: 5, from: 300_000 } });
    await settled();
    expect(history.view.get()).toMatchObject({ shown: { reports: 300_000, files: [] } });
  });

  it('knows the days with reports of this asset only', async () => {
    asked.covered = ['2026-05-20'];
    history.open('vehicle/1', DAY);
    await settled();
    expect(history.days.get()).toEqual(['2026-05-20']);
    history.open('vehicle/2', DAY);
    expect(history.days.get()).toBeNull();
  });

  it('is left step by step: replay, history, nothing', async () => {
    history.open('vehicle/1', DAY);
    asked.routes[0]!.answer(read(0));
    await settled();
    history.replay.seek(NOON);
    expect(history.back()).toBe(true);
    expect([history.replay.on.get(), history.day.get()]).toEqual([false, DAY]);
    expect(history.back()).toBe(true);
    expect([history.view.get().phase, history.day.get()]).toEqual(['closed', null]);
    expect(history.back()).toBe(false);
  });
});
