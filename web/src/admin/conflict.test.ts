import { describe, expect, it } from 'vitest';
import { changedBody, type Field } from '../page/fields';
import { allOf, differences, merged } from './conflict';

const FIELDS: Field[] = ['id', 'plate', 'model', 'status', 'note'].map((name) => ({
  ...{ name, label: name, kind: 'text' as const },
  ...(name === 'id' ? { onlyNew: true } : {}),
}));
const BEFORE = { id: 'v-1', plate: 'AA', model: '', status: 'active', note: '' };
const MINE = { ...BEFORE, model: 'Mine', note: 'also mine' };
const THEIRS = { ...BEFORE, model: 'Theirs', status: 'idle' };

describe('two changes of one record', () => {
  const found = differences(FIELDS, BEFORE, MINE, THEIRS);

  it('differ where either changed something; only what both changed is contested', () => {
    expect(found.map(({ field: { name }, contested, by }) => [name, contested, by])).toEqual([
      ['model', true, 'mine'],
      ['status', false, 'theirs'],
      ['note', false, 'mine'],
    ]);
  });

  it('become one: mine where I keep it, theirs elsewhere, and nobody loses what only he changed', () => {
    const kept = merged(found, allOf(found, 'mine'), MINE, THEIRS);
    expect(kept).toEqual({ ...BEFORE, model: 'Mine', status: 'idle', note: 'also mine' });
    expect(changedBody(FIELDS, THEIRS, kept)).toEqual({ model: 'Mine', note: 'also mine' });
    expect(changedBody(FIELDS, THEIRS, merged(found, allOf(found, 'theirs'), MINE, THEIRS))).toEqual({
      note: 'also mine',
    });
  });

  it('to the same value are no conflict', () => {
    expect(differences(FIELDS, BEFORE, MINE, { ...BEFORE, model: 'Mine', note: 'also mine' })).toEqual([]);
  });
});
