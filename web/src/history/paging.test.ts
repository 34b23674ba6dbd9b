import { describe, expect, it } from 'vitest';
import { MAX_POINTS, PAGE_POINTS, type ReadPage, readRoute } from './paging';

const POINT = { timestamp: '2026-05-28T10:00:00Z' };

/** A node with so many reports, of which a tolerance of n metres leaves every n-th. */
function node(reports: number): { readPage: ReadPage; asked: [string | null, number | null][] } {
  const asked: [string | null, number | null][] = [];
  const readPage: ReadPage = async (cursor, tolerance) => {
    asked.push([cursor, tolerance]);
    const total = Math.ceil(reports / (tolerance ?? 1));
    const at = Number(cursor ?? 0);
    const count = Math.min(PAGE_POINTS, total - at);
    return {
      points: Array.from({ length: count }, () => POINT),
      count,
      ...(tolerance === null ? {} : { simplified_from: count * tolerance }),
      next_cursor: at + count < total ? String(at + count) : null,
    };
  };
  return { readPage, asked };
}

describe('a route', () => {
  it('is read page by page until there is no cursor, and tells how far it is', async () => {
    const { readPage, asked } = node(45_000);
    const heard: number[] = [];
    const read = await readRoute(readPage, (points) => heard.push(points));
    expect(read).toMatchObject({ simplified: null, cut: false });
    expect(read.points).toHaveLength(45_000);
    expect(heard).toEqual([20_000, 40_000, 45_000]);
    expect(asked).toEqual([
      [null, null],
      ['20000', null],
      ['40000', null],
    ]);
  });

  it('of exactly as many points as are held is not simplified', async () => {
    const read = await readRoute(node(MAX_POINTS).readPage, () => {});
    expect(read).toMatchObject({ simplified: null, cut: false });
  });

  it('that is too long is asked for again, simplified', async () => {
    const { readPage, asked } = node(MAX_POINTS * 3);
    const read = await readRoute(readPage, () => {});
    expect(read.cut).toBe(false);
    expect(read.points).toHaveLength((MAX_POINTS * 3) / 5);
    expect(read.simplified).toEqual({ tolerance: 5, from: MAX_POINTS * 3 });
    expect(asked.filter(([, tolerance]) => tolerance === null)).toHaveLength(MAX_POINTS / PAGE_POINTS);
  });

  it('is simplified more until it fits, and cut when nothing helps', async () => {
    expect(await readRoute(node(MAX_POINTS * 7).readPage, () => {})).toMatchObject({
      simplified: { tolerance: 20 },
      cut: false,
    });
    const cut = await readRoute(node(MAX_POINTS * 101).readPage, () => {});
    expect(cut).toMatchObject({ simplified: { tolerance: 100 }, cut: true });
    expect(cut.points).toHaveLength(MAX_POINTS);
  });

  it('ends when a cursor leads to itself', async () => {
    const read = await readRoute(
      async () => ({ points: [POINT], count: 1, next_cursor: 'again' }),
      () => {},
    );
    expect(read.points).toHaveLength(2);
  });

  it('fails with the page that fails', async () => {
    const failing: ReadPage = (cursor) =>
      cursor === null
        ? Promise.resolve({ points: [POINT], count: 1, next_cursor: 'x' })
        : Promise.reject(new Error('gone'));
    await expect(readRoute(failing, () => {})).rejects.toThrow('gone');
  });
});
