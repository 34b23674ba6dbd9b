// Which pages somebody is shown, and what is offered on them. What is allowed is the node's to say, and it says it again on
// every request.

import { RESOURCES, type RecordName, type Resource } from '../admin/definitions';
import type { Me, Role } from '../api/types';

/** Sections in their order, in groups. */
export const GROUPS = [
  { name: 'orders', sections: ['deliveries', 'routes', 'customers'] },
  {
    name: 'fleet',
    sections: [
      'vehicles',
      'drivers',
      'assignments',
      'maintenance',
      'stations',
      'depots',
      'devices',
      'fleets',
      'organisations',
    ],
  },
  { name: 'access', sections: ['users', 'keys', 'credentials', 'audit'] },
] as const;
export type Group = (typeof GROUPS)[number]['name'];
export type Section = (typeof GROUPS)[number]['sections'][number];
export const SECTIONS: readonly Section[] = GROUPS.flatMap<Section>(({ sections }) => sections);

/** What reading and changing needs, beside the records, which say it themselves. */
const NEEDS: Record<Exclude<Section, RecordName>, readonly [read: string, write: string]> = {
  users: ['users.read', 'users.write'],
  keys: ['keys.manage', 'keys.manage'],
  credentials: ['devices.manage', 'devices.manage'],
  audit: ['audit.read', 'audit.read'],
};

export function may(me: Me, permission: string): boolean {
  return me.permissions.includes(permission);
}

function needs(section: Section): readonly [read: string, write: string] {
  if (section in NEEDS) return NEEDS[section as keyof typeof NEEDS];
  const { read, write } = RESOURCES[section as RecordName];
  return [read, write];
}

/** Of roles that are about their holder's own record only: where the node finds something of his. Elsewhere is nothing, ever. */
const OWN: Partial<Record<Role, readonly Section[]>> = {
  driver: ['deliveries', 'routes', 'vehicles', 'drivers', 'assignments', 'organisations'],
  customer: ['deliveries', 'customers'],
};

export function maySee(me: Me, section: Section): boolean {
  const own = OWN[me.role as Role];
  return may(me, needs(section)[0]) && (own?.includes(section) ?? true);
}

/** What of a role's permissions the roles that make users do not all have. */
const BEYOND: Partial<Record<Role, string>> = { system_admin: 'vault.manage', auditor: 'node.read' };

/** Nobody gives more than he has himself. */
export function mayGive(me: Me, role: Role): boolean {
  const beyond = BEYOND[role];
  return beyond === undefined || may(me, beyond);
}

export function sectionsOf(me: Me): Section[] {
  return SECTIONS.filter((section) => maySee(me, section));
}

/** Whether records of that sort may be made and removed. */
export function mayMake(me: Me, { write, makeNeedsAll }: Resource): boolean {
  return may(me, write) && (me.all_fleets || !makeNeedsAll);
}

export function mayChange(me: Me, section: Section): boolean {
  const all = !(section in NEEDS) && RESOURCES[section as RecordName].changeNeedsAll;
  return may(me, needs(section)[1]) && (me.all_fleets || !all);
}

/** The statuses that somebody may move a delivery to from where it is. */
export function nextSteps(me: Me, { transitions, write }: Resource, status: string): readonly string[] {
  if (!transitions || !may(me, 'orders.status')) return [];
  const next = transitions.next[status] ?? [];
  return may(me, write) ? next : next.filter((to) => transitions.by_driver.includes(to));
}
