// Two people changed one record: what each did to it, and what becomes of it.

import { type Field, same, type Values } from '../page/fields';

export interface Difference {
  field: Field;
  /** Both changed it, each to something else: somebody has to choose. */
  contested: boolean;
  /** Who changed it, where nobody else did. */
  by: 'mine' | 'theirs';
}

/** What differs between mine and theirs, in the order of the form. */
export function differences(fields: readonly Field[], before: Values, mine: Values, theirs: Values): Difference[] {
  return fields
    .filter(({ name, onlyNew }) => !onlyNew && !same(mine[name], theirs[name]))
    .map((field) => {
      const changedByMe = !same(mine[field.name], before[field.name]);
      const changedByThem = !same(theirs[field.name], before[field.name]);
      return { field, contested: changedByMe && changedByThem, by: changedByMe ? 'mine' : 'theirs' };
    });
}

export type Choices = Readonly<Record<string, 'mine' | 'theirs'>>;

/** What is kept: theirs, with mine where it is chosen or only mine was changed. */
export function merged(found: readonly Difference[], choices: Choices, mine: Values, theirs: Values): Values {
  const kept = found.filter(({ field, by, contested }) => (contested ? choices[field.name] === 'mine' : by === 'mine'));
  return { ...theirs, ...Object.fromEntries(kept.map(({ field: { name } }) => [name, mine[name]!])) };
}

/** All that is contested, one way. */
export function allOf(found: readonly Difference[], side: 'mine' | 'theirs'): Choices {
  return Object.fromEntries(found.filter(({ contested }) => contested).map(({ field }) => [field.name, side]));
}
