import { expect, it } from 'vitest';
import { readLink, writeLink } from './link';

const VIEW = { latitude: 41.15, longitude: -8.61, zoom: 14 };

it('reads what it wrote, whatever is in the id', () => {
  for (const key of ['vehicle/12', 'driver/a b@c/d', 'station/ü', null]) {
    for (const view of [VIEW, null]) expect(readLink(writeLink({ key, view }))).toEqual({ key, view });
  }
});

it('takes nothing from nonsense', () => {
  for (const hash of ['', '#', '#vehicle', '#/12', '#@1,2', '#@a,b,c', '#vehicle/']) {
    expect(readLink(hash)).toEqual({ key: null, view: null });
  }
});
