// What a list is narrowed to, one input for each field that the node finds records by; and, where rows are cards, how it
// is sorted.

import { Button, MenuItem, TextField } from '@mui/material';
import type { Me } from '../api/types';
import { LookupInput } from '../page/LookupInput';
import { maySee } from '../session/may';
import { strings } from '../strings';
import type { Asked } from './asked';
import type { Definition, Resource } from './definitions';
import { lookupOf } from './names';
import { labelOf, wordOf } from './shown';

const words = strings.admin.records;
const RANGED: Partial<Record<Definition['kind'], string>> = {
  integer: 'number',
  number: 'number',
  date: 'date',
  moment: 'datetime-local',
};

/** Nobody looks for a degree; the map is for that. */
const PLACE = /(latitude|longitude)$/;

interface Props {
  me: Me;
  resource: Resource;
  asked: Asked;
  id: string;
}

/** Fields that lists are narrowed by here; texts are found by the search. */
export function filtersOf(me: Me, { fields }: Resource): Definition[] {
  return fields.filter(({ name, filterable, kind, references }) => {
    if (!filterable) return false;
    if (references) return maySee(me, references);
    return kind === 'word' || kind === 'flag' || (kind in RANGED && !PLACE.test(name));
  });
}

export function Filters({ me, resource, asked, id }: Props) {
  const inputs = filtersOf(me, resource).map((field) => <Filter key={field.name} field={field} asked={asked} />);
  return (
    <div className="filters narrowing" id={id}>
      {inputs}
      <TextField
        select
        size="small"
        className="only-narrow"
        label={words.sort}
        value={asked.sort}
        onChange={(event) => asked.onSort(event.target.value)}
      >
        {resource.sortable.flatMap((name) => [
          <MenuItem key={name} value={name}>
            {words.up(labelOf(name))}
          </MenuItem>,
          <MenuItem key={`-${name}`} value={`-${name}`}>
            {words.down(labelOf(name))}
          </MenuItem>,
        ])}
      </TextField>
      {asked.filters > 0 && (
        <Button size="small" onClick={asked.clear}>
          {words.clear}
        </Button>
      )}
    </div>
  );
}

function Filter({ field, asked }: { field: Definition; asked: Asked }) {
  const { name, kind, references } = field;
  const label = labelOf(name);
  if (references) {
    const value = asked.value(name);
    return (
      <LookupInput
        name={name}
        label={label}
        value={value}
        lookup={lookupOf(references)}
        onChange={(id) => asked.set({ [name]: id })}
      />
    );
  }
  if (kind in RANGED) {
    return (['gte', 'lte'] as const).map((end) => <Bound key={end} {...{ field, asked, end }} />);
  }
  const options = kind === 'flag' ? ['true', 'false'] : field.words;
  return (
    <TextField
      select
      size="small"
      label={label}
      value={asked.value(name)}
      onChange={(event) => asked.set({ [name]: event.target.value })}
    >
      <MenuItem value="">{words.any}</MenuItem>
      {options.map((word) => (
        <MenuItem key={word} value={word}>
          {kind === 'flag' ? strings.page[word === 'true' ? 'yes' : 'no'] : wordOf(word)}
        </MenuItem>
      ))}
    </TextField>
  );
}

/** From or until; moments stand in the address as the reader's own time. */
function Bound({ field, asked, end }: { field: Definition; asked: Asked; end: 'gte' | 'lte' }) {
  const name = `${field.name}[${end}]`;
  const type = RANGED[field.kind]!;
  return (
    <TextField
      size="small"
      type={type}
      label={(end === 'gte' ? words.from : words.until)(labelOf(field.name))}
      value={asked.value(name)}
      slotProps={{ inputLabel: type === 'number' ? {} : { shrink: true }, htmlInput: { step: 'any' } }}
      onChange={(event) => asked.set({ [name]: event.target.value })}
    />
  );
}
