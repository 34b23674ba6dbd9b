// Which fleets somebody or something reaches: how forms ask for it and tables show it.

import type { Choice, Field, Fields } from '../page/fields';
import { strings } from '../strings';

const words = strings.admin.reach;

interface Reaching {
  fleets: readonly string[];
  all_fleets?: boolean;
}

export function reachFields(fleets: readonly Choice[]): Field[] {
  return [
    { name: 'all_fleets', label: words.all, kind: 'flag' },
    {
      name: 'fleets',
      label: words.fleets,
      kind: 'choices',
      choices: fleets,
      help: fleets.length ? words.help : words.none,
    },
  ];
}

/** Who reaches all fleets needs none named. */
export function reachSent(body: Fields): Fields {
  return body.all_fleets === true ? { ...body, fleets: [] } : body;
}

export function fleetsOf({ fleets, all_fleets }: Reaching, known: readonly Choice[]): string {
  if (all_fleets) return words.all;
  if (fleets.length === 0) return strings.page.none;
  return fleets.map((id) => known.find(({ value }) => value === id)?.label ?? id).join(', ');
}
