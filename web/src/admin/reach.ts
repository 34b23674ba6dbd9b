// Which fleets somebody or something reaches: how forms ask for it and tables show it.

import type { Me } from '../api/types';
import type { Choice, Field, Fields } from '../page/fields';
import { strings } from '../strings';

const words = strings.admin.reach;

interface Reaching {
  fleets: readonly string[];
  all_fleets?: boolean;
}

/** Nobody gives what he does not reach: who reaches some fleets names at least one of them. */
export function reachFields({ all_fleets }: Pick<Me, 'all_fleets'>, fleets: readonly Choice[]): Field[] {
  const all: Field = { name: 'all_fleets', label: words.all, kind: 'flag' };
  const some: Field = {
    name: 'fleets',
    label: words.fleets,
    kind: 'choices',
    required: !all_fleets,
    choices: fleets,
    find: words.find,
    help: fleets.length ? words.help : words.none,
  };
  return all_fleets ? [all, some] : [some];
}

/** What a new one starts with: the only fleet of who has no other. */
export function reachStart({ all_fleets, fleets }: Reaching): Fields | null {
  return !all_fleets && fleets.length === 1 ? { fleets } : null;
}

/** Who reaches all fleets needs none named. */
export function reachSent(body: Fields): Fields {
  return body.all_fleets === true ? { ...body, fleets: [] } : body;
}

/** Fleets that are named alone are meant alone, and another role says anew whom it reaches: so all or not goes along. */
export function reachChanged(body: Fields, { all_fleets }: Reaching): Fields {
  const tells = 'role' in body || 'fleets' in body;
  return reachSent(tells ? { all_fleets, ...body } : body);
}

export function fleetsOf({ fleets, all_fleets }: Reaching, known: readonly Choice[]): string {
  if (all_fleets) return words.all;
  if (fleets.length === 0) return strings.page.none;
  return fleets.map((id) => known.find(({ value }) => value === id)?.label ?? id).join(', ');
}
