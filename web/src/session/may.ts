// Which pages somebody is shown. What is allowed is the node's to say, and it says it again on every request.

import type { Me } from '../api/types';

export const SECTIONS = [
  'users',
  'keys',
  'devices',
  'fleets',
  'vehicles',
  'drivers',
  'customers',
  'deliveries',
  'audit',
] as const;
export type Section = (typeof SECTIONS)[number];

/** What reading and changing needs. */
const NEEDS: Record<Section, readonly [read: string, write: string]> = {
  users: ['users.read', 'users.write'],
  keys: ['keys.manage', 'keys.manage'],
  devices: ['devices.manage', 'devices.manage'],
  fleets: ['fleet.read', 'fleet.write'],
  vehicles: ['fleet.read', 'fleet.write'],
  drivers: ['fleet.read', 'fleet.write'],
  customers: ['customers.read', 'customers.write'],
  deliveries: ['orders.read', 'orders.write'],
  audit: ['audit.read', 'audit.read'],
};

export function may(me: Me, permission: string): boolean {
  return me.permissions.includes(permission);
}

export function sectionsOf(me: Me): Section[] {
  return SECTIONS.filter((section) => may(me, NEEDS[section][0]));
}

export function mayChange(me: Me, section: Section): boolean {
  return may(me, NEEDS[section][1]);
}
