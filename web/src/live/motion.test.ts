import { describe, expect, it } from 'vitest';
import { toLatitude, toLongitude, toX, toY, xStep } from './mercator';
import { MAX_GLIDE_MS, Motion } from './motion';

const AT = { x: toX(-8.61), y: toY(41.15) };
const NEAR = { x: toX(-8.609), y: toY(41.151) };

function moving(start = 1000): { motion: Motion; index: number } {
  const motion = new Motion();
  const index = motion.add(0);
  motion.put(index, AT.x, AT.y, 0, start);
  return { motion, index };
}

describe('mercator units', () => {
  it('keep a position to within two centimetres', () => {
    for (const [longitude, latitude] of [
      [-8.61, 41.15],
      [179.999999, -84],
      [-180, 0],
    ] as const) {
      expect(toLongitude(toX(longitude))).toBeCloseTo(longitude, 6);
      expect(toLatitude(toY(latitude))).toBeCloseTo(latitude, 6);
    }
  });

  it('treat 180° and -180° as one place', () => {
    expect(toX(180)).toBe(toX(-180));
  });

  it('clamp what mercator cannot show', () => {
    expect(toY(90)).toBe(toY(85.06));
    expect(toY(-90)).toBeLessThan(2 ** 31);
  });
});

describe('a glide', () => {
  it('starts where the marker is, ends at the fix and passes the middle half-way', () => {
    const { motion, index } = moving(1000);
    motion.glide(index, NEAR.x, NEAR.y, 0, 2000);
    expect(motion.place(index, 2000)).toEqual([AT.x, AT.y]);
    const [x, y] = motion.place(index, 2550);
    expect(x).toBeCloseTo((AT.x + NEAR.x) / 2, -1);
    expect(y).toBeCloseTo((AT.y + NEAR.y) / 2, -1);
    expect(motion.place(index, 3100)).toEqual([NEAR.x, NEAR.y]);
    expect(motion.place(index, 99_000)).toEqual([NEAR.x, NEAR.y]);
  });

  it('lasts a little longer than the report interval, at most the cap', () => {
    const { motion, index } = moving(1000);
    motion.glide(index, NEAR.x, NEAR.y, 0, 2000);
    expect(motion.restsAt).toBe(3100);
    motion.glide(index, AT.x, AT.y, 0, 60_000);
    expect(motion.restsAt).toBe(60_000 + MAX_GLIDE_MS);
  });

  it('interrupted by the next fix goes on from the place shown, without a jump', () => {
    const { motion, index } = moving(1000);
    motion.glide(index, NEAR.x, NEAR.y, 0, 2000);
    const shown = motion.place(index, 2400);
    motion.glide(index, AT.x, AT.y, 0, 2400);
    expect(motion.place(index, 2400)).toEqual(shown);
    expect(motion.place(index, 9000)).toEqual([AT.x, AT.y]);
  });

  it('takes the short way over the antimeridian', () => {
    const motion = new Motion();
    const index = motion.add(0);
    const [west, east, y] = [toX(179.99), toX(-179.99), toY(10)];
    motion.put(index, west, y, undefined, 1000);
    motion.glide(index, east, y, undefined, 2000);
    const [x] = motion.place(index, 2550);
    expect(Math.abs(toLongitude(x))).toBeGreaterThan(179.98);
    expect(xStep(west, x)).toBeGreaterThan(0);
  });

  it('of many kilometres is a jump', () => {
    const { motion, index } = moving(1000);
    motion.glide(index, toX(2.35), toY(48.85), 0, 2000);
    expect(motion.place(index, 2000)).toEqual([toX(2.35), toY(48.85)]);
  });

  it('survives the wrap of the 32-bit page clock', () => {
    const { motion, index } = moving(2 ** 32 - 500);
    motion.glide(index, NEAR.x, NEAR.y, 0, 500);
    expect(motion.place(index, 500)).toEqual([AT.x, AT.y]);
    expect(motion.place(index, 1600)).toEqual([NEAR.x, NEAR.y]);
  });
});

describe('the motion buffer', () => {
  it('keeps its records when it grows', () => {
    const motion = new Motion();
    for (let asset = 0; asset < 5000; asset++) {
      const index = motion.add(asset % 5);
      motion.put(index, asset * 1000, asset, 90, 1);
    }
    expect(motion.place(4321, 2)).toEqual([4_321_000, 4321]);
    expect(motion.kind(4321)).toBe(1);
  });

  it('says which records changed', () => {
    const { motion, index } = moving();
    const other = motion.add(1);
    motion.dirty = [0, 0];
    motion.setFreshness(other, 2);
    expect(motion.dirty).toEqual([other, other + 1]);
    motion.setFreshness(index, 1);
    expect(motion.dirty).toEqual([index, other + 1]);
    motion.dirty = [0, 0];
    motion.setFreshness(other, 2);
    expect(motion.dirty).toEqual([0, 0]);
  });
});
