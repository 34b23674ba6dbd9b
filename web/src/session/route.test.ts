import { expect, it } from 'vitest';
import { RESOURCES } from '../admin/definitions';
import type { Me } from '../api/types';
import { readLink } from '../link';
import { mayChange, mayGive, mayMake, nextSteps, sectionsOf } from './may';
import { isPage, pageAddress, readPage } from './route';

it('pages are named by the address', () => {
  expect(readPage('#/account')).toEqual({ name: 'account' });
  expect(readPage('#/admin')).toEqual({ name: 'admin', section: null });
  expect(readPage('#/admin/users')).toEqual({ name: 'admin', section: 'users' });
  expect(readPage('#/admin/secrets')).toEqual({ name: 'admin', section: null });
  expect(readPage('#/admin/drivers/a%2Fb')).toEqual({ name: 'admin', section: 'drivers', id: 'a/b' });
  expect(readPage('#/admin/vehicles?status=idle&page=2')).toEqual({
    ...{ name: 'admin', section: 'vehicles', asked: 'status=idle&page=2' },
  });
});

it('everything else is the map', () => {
  for (const hash of ['', '#', '#vehicle/12@41.15,-8.61,14', '#/', '#/elsewhere', '#account']) {
    expect(readPage(hash), hash).toEqual({ name: 'map' });
  }
});

it('an address of a page is none of an asset, and the other way round', () => {
  for (const page of [
    { name: 'account' },
    { name: 'admin', section: 'audit' },
    { name: 'admin', section: 'drivers', id: 'd:1@x' },
    { name: 'admin', section: 'routes', asked: 'date%5Bgte%5D=2026-01-01' },
  ] as const) {
    expect(readPage(pageAddress(page))).toEqual(page);
    expect(readLink(pageAddress(page)).key).toBeNull();
  }
  expect(isPage('#vehicle/12')).toBe(false);
});

it('sections are those that somebody may read; changing needs more', () => {
  const auditor = { permissions: ['users.read', 'fleet.read', 'stations.read', 'audit.read'] } as Me;
  expect(sectionsOf(auditor)).toEqual([
    ...['vehicles', 'drivers', 'maintenance', 'stations', 'depots', 'devices', 'fleets', 'organisations'],
    ...['users', 'audit'],
  ]);
  expect(mayChange(auditor, 'users')).toBe(false);
  expect(mayChange({ permissions: ['fleet.write'] } as Me, 'vehicles')).toBe(true);
});

it('who has an own record only is shown no section that never holds anything of his', () => {
  const permissions = ['fleet.read', 'stations.read', 'orders.read', 'customers.read'];
  expect(sectionsOf({ role: 'driver', permissions } as unknown as Me)).toEqual([
    ...['deliveries', 'routes', 'vehicles', 'drivers', 'assignments', 'organisations'],
  ]);
  expect(sectionsOf({ role: 'customer', permissions } as unknown as Me)).toEqual(['deliveries', 'customers']);
  expect(sectionsOf({ role: 'dispatcher', permissions } as unknown as Me)).toContain('depots');
});

it('a role is given by who may do what it may', () => {
  const manager = { permissions: ['users.write', 'fleet.write', 'orders.write'] } as Me;
  const admin = { permissions: [...manager.permissions, 'node.read', 'vault.manage'] } as Me;
  const given = (me: Me) =>
    (['dispatcher', 'fleet_manager', 'auditor', 'system_admin'] as const).filter((role) => mayGive(me, role));
  expect(given(manager)).toEqual(['dispatcher', 'fleet_manager']);
  expect(given(admin)).toEqual(['dispatcher', 'fleet_manager', 'auditor', 'system_admin']);
});

it('what belongs to the whole organisation is changed by who reaches all fleets', () => {
  const some = { permissions: ['fleet.write'], all_fleets: false } as unknown as Me;
  const all = { ...some, all_fleets: true };
  expect([some, all].map((me) => mayMake(me, RESOURCES.fleets))).toEqual([false, true]);
  expect([some, all].map((me) => mayChange(me, 'fleets'))).toEqual([true, true]);
  expect([some, all].map((me) => mayChange(me, 'organisations'))).toEqual([false, true]);
  expect(mayMake(some, RESOURCES.vehicles)).toBe(true);
});

it('a delivery moves along the ways of the definitions, a driver only along his', () => {
  const dispatcher = { permissions: ['orders.write', 'orders.status'] } as Me;
  const driver = { permissions: ['orders.status'] } as Me;
  const { deliveries } = RESOURCES;
  expect(nextSteps(dispatcher, deliveries, 'created')).toEqual(['assigned', 'cancelled']);
  expect(nextSteps(driver, deliveries, 'created')).toEqual([]);
  expect(nextSteps(driver, deliveries, 'assigned')).toEqual(['picked_up', 'failed']);
  expect(nextSteps({ permissions: ['orders.read'] } as Me, deliveries, 'created')).toEqual([]);
  expect(nextSteps(dispatcher, RESOURCES.vehicles, 'active')).toEqual([]);
});
