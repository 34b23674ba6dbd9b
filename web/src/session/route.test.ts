import { expect, it } from 'vitest';
import type { Me } from '../api/types';
import { readLink } from '../link';
import { mayChange, sectionsOf } from './may';
import { isPage, pageAddress, readPage } from './route';

it('pages are named by the address', () => {
  expect(readPage('#/account')).toEqual({ name: 'account' });
  expect(readPage('#/admin')).toEqual({ name: 'admin', section: null });
  expect(readPage('#/admin/users')).toEqual({ name: 'admin', section: 'users' });
  expect(readPage('#/admin/secrets')).toEqual({ name: 'admin', section: null });
});

it('everything else is the map', () => {
  for (const hash of ['', '#', '#vehicle/12@41.15,-8.61,14', '#/', '#/elsewhere', '#account']) {
    expect(readPage(hash), hash).toEqual({ name: 'map' });
  }
});

it('an address of a page is none of an asset, and the other way round', () => {
  for (const page of [{ name: 'account' }, { name: 'admin', section: 'audit' }] as const) {
    expect(readPage(pageAddress(page))).toEqual(page);
    expect(readLink(pageAddress(page)).key).toBeNull();
  }
  expect(isPage('#vehicle/12')).toBe(false);
});

it('sections are those that somebody may read; changing needs more', () => {
  const auditor = { permissions: ['users.read', 'fleet.read', 'audit.read'] } as Me;
  expect(sectionsOf(auditor)).toEqual(['users', 'fleets', 'vehicles', 'drivers', 'audit']);
  expect(mayChange(auditor, 'users')).toBe(false);
  expect(mayChange({ permissions: ['fleet.write'] } as Me, 'vehicles')).toBe(true);
});
