import { expect, it } from 'vitest';
import { closeOverPole, unwrap } from './world';

it('lets a coast run on past the antimeridian, both ways', () => {
  const east = [
    [170, 60],
    [-175, 61],
    [179, 62],
  ];
  expect(unwrap(east).map(([longitude]) => longitude)).toEqual([170, 185, 179]);
  expect(unwrap(east.toReversed()).map(([longitude]) => longitude)).toEqual([179, 185, 170]);
});

it('closes a ring round the pole below the map, and leaves others alone', () => {
  const antarctica = unwrap([
    [-180, -70],
    [-90, -72],
    [0, -70],
    [90, -71],
    [180, -70],
  ]);
  expect(closeOverPole(antarctica).slice(-3)).toEqual([
    [180, -90],
    [-180, -90],
    [-180, -70],
  ]);
  const island = [
    [1, 1],
    [2, 1],
    [1, 2],
    [1, 1],
  ];
  expect(closeOverPole(island)).toBe(island);
});
