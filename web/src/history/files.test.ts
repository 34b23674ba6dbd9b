import { expect, it } from 'vitest';
import { fileSpans } from './files';

const DAY = { start: 0, end: 999 };

function spans(times: number[]) {
  return fileSpans(
    times.map((time) => ({ timestamp: new Date(time).toISOString() })),
    DAY,
    3,
  );
}

it('a day that fits is one file', () => {
  expect(spans([])).toEqual([DAY]);
  expect(spans([1, 2, 3])).toEqual([DAY]);
});

it('a longer day is cut between reports, none twice and none left out', () => {
  expect(spans([1, 2, 3, 40, 50, 60, 70])).toEqual([
    { start: 0, end: 39 },
    { start: 40, end: 69 },
    { start: 70, end: 999 },
  ]);
});

it('reports of one moment stay together', () => {
  expect(spans([1, 2, 30, 30, 50])).toEqual([
    { start: 0, end: 29 },
    { start: 30, end: 999 },
  ]);
});

it('ends when one moment has more reports than a file holds', () => {
  expect(spans([7, 7, 7, 7, 7])).toEqual([DAY]);
});
