import { expect, it } from 'vitest';
import { toX, toY } from './mercator';
import { Trails } from './trails';

function walk(trails: Trails, asset: number, steps: number, from = 0): void {
  for (let step = from; step < from + steps; step++) trails.record(asset, toX(step / 1000), toY(asset));
}

it('reads newest first and keeps assets apart', () => {
  const trails = new Trails(100);
  walk(trails, 0, 3);
  walk(trails, 1, 2);
  walk(trails, 0, 1, 3);
  expect(trails.read(0).map(([x]) => x)).toEqual([3, 2, 1, 0].map((step) => toX(step / 1000)));
  expect(trails.read(1)).toHaveLength(2);
});

it('forgets the oldest points of all assets when full, and never mixes trails', () => {
  const trails = new Trails(10);
  walk(trails, 0, 8);
  walk(trails, 1, 5);
  expect(trails.read(0)).toHaveLength(5);
  expect(trails.read(1)).toHaveLength(5);
  expect(trails.read(0).every(([, y]) => y === toY(0))).toBe(true);
  walk(trails, 1, 10, 5);
  expect(trails.has(0)).toBe(false);
  expect(trails.read(0)).toEqual([]);
});

it('gives at most the points asked for', () => {
  const trails = new Trails(5000);
  walk(trails, 0, 3000);
  expect(trails.read(0)).toHaveLength(2000);
});

it('takes no point for an asset that stands still', () => {
  const trails = new Trails(10);
  for (let fix = 0; fix < 5; fix++) trails.record(0, toX(1 + fix * 1e-6), toY(1));
  expect(trails.read(0)).toHaveLength(1);
});
