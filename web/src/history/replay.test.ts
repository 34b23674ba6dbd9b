import { beforeEach, describe, expect, it } from 'vitest';
import { Replay } from './replay';
import { gapsOf, trackOf } from './track';

const START = Date.parse('2026-05-28T10:00:00Z');
let replay: Replay;

function load(seconds: number[]): void {
  const track = trackOf(
    seconds.map((second) => ({
      timestamp: new Date(START + second * 1000).toISOString(),
      latitude: 41 + second / 1000,
      longitude: -8,
    })),
  );
  replay.load(track, gapsOf(track, 900_000));
}

function seconds(): number {
  return (replay.moment()!.time - START) / 1000;
}

beforeEach(() => {
  replay = new Replay();
  load([0, 10, 20, 30]);
});

describe('the replay', () => {
  it('stands still where it was put, within the day', () => {
    expect(replay.moment()).toBeNull();
    replay.seek(START + 15_000);
    expect([replay.on.get(), replay.playing.get(), seconds()]).toEqual([true, false, 15]);
    expect(replay.shown.get()?.latitude).toBeCloseTo(41.015, 9);
    replay.seek(START + 99_000);
    expect(seconds()).toBe(30);
  });

  it('runs with the frames, from the first one on, and stands still at the end', () => {
    replay.rate.set(5);
    replay.toggle();
    replay.tick(1_000_000);
    expect(seconds()).toBe(0);
    replay.tick(1_000_200);
    expect(seconds()).toBe(1);
    for (let frame = 1; frame <= 60; frame++) replay.tick(1_000_200 + frame * 200);
    expect([seconds(), replay.playing.get(), replay.shown.get()!.time]).toEqual([30, false, START + 30_000]);
  });

  it('does not make up for the time it stood still', () => {
    replay.rate.set(1);
    replay.toggle();
    replay.tick(1_000);
    replay.tick(1_200);
    replay.toggle();
    replay.toggle();
    replay.tick(90_000);
    expect(seconds()).toBeCloseTo(0.2);
  });

  it('begins anew when started at the end', () => {
    replay.toEnd();
    replay.toggle();
    expect([seconds(), replay.playing.get()]).toEqual([0, true]);
  });

  it('stands still when stepped', () => {
    replay.toggle();
    replay.step(1);
    expect([seconds(), replay.playing.get()]).toEqual([10, false]);
    replay.step(-1);
    expect(seconds()).toBe(0);
  });

  it('publishes words ten times a second at most', () => {
    let heard = 0;
    replay.toggle();
    replay.shown.subscribe(() => heard++);
    for (let frame = 0; frame < 60; frame++) replay.tick(1_000_000 + (frame * 1000) / 60);
    expect(heard).toBeGreaterThan(5);
    expect(heard).toBeLessThanOrEqual(11);
  });

  it('goes on in a day that has grown, and ends with the day', () => {
    replay.seek(START + 25_000);
    load([0, 10, 20, 30, 40]);
    expect(seconds()).toBe(25);
    replay.toEnd();
    expect(seconds()).toBe(40);
    replay.unload();
    expect([replay.on.get(), replay.shown.get(), replay.moment()]).toEqual([false, null, null]);
  });
});
