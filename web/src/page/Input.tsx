// The inputs of a form: one for each sort of field.

import { Autocomplete, Checkbox, createFilterOptions, FormControlLabel, MenuItem, TextField } from '@mui/material';
import { strings } from '../strings';
import type { Choice, Field, Fields, Value, Values } from './fields';
import { Items } from './Items';
import { LookupInput } from './LookupInput';

const words = strings.page;

/** What is wrong, and at which field. */
export type Said = { at: string; text: string } | null;

interface Props {
  fields: readonly Field[];
  values: Values;
  said: Said;
  /** Where the fields are: `stops.2.` */
  within?: string;
  /** The first field has the focus. */
  first?: boolean;
  onChange: (change: (values: Values) => Values) => void;
}

export function Inputs({ fields, values, said, within = '', first = false, onChange }: Props) {
  const set = (field: Field, value: Value) => {
    onChange((values) => ({ ...values, [field.name]: value }));
    if (field.fills && typeof value === 'string' && value !== '') {
      // What is known of it goes where nothing stands yet.
      void field.fills(value).then((known) => onChange((values) => filled(fields, values, known)));
    }
  };
  return fields.map((field, n) => {
    const at = within + field.name;
    return (
      <Input
        key={field.name}
        field={field}
        values={values}
        value={values[field.name]!}
        at={at}
        said={said && (said.at === at || said.at.startsWith(`${at}.`)) ? said : null}
        first={first && n === 0}
        onChange={(value) => set(field, value)}
      />
    );
  });
}

function filled(fields: readonly Field[], values: Values, known: Fields): Values {
  const added = fields.filter(({ name }) => values[name] === '' && known[name] !== null && known[name] !== undefined);
  return { ...values, ...Object.fromEntries(added.map(({ name }) => [name, String(known[name])])) };
}

interface InputProps {
  field: Field;
  values: Values;
  value: Value;
  at: string;
  said: Said;
  first: boolean;
  onChange: (value: Value) => void;
}

const INPUT_TYPES: Partial<Record<Field['kind'], string>> = {
  email: 'email',
  number: 'number',
  integer: 'number',
  moment: 'datetime-local',
  date: 'date',
};

function Input(props: InputProps) {
  const { field, values, value, at, said, first, onChange } = props;
  const { name, label, kind, required = false, help, choices = [], min, max, length } = field;
  const wrong = said?.text ?? null;
  const lookup = kind === 'lookup' ? (field.lookup?.(values) ?? null) : null;
  if (lookup) {
    return (
      <LookupInput
        {...{ name, label, required, lookup, wrong, first, onChange }}
        value={String(value)}
        {...(help ? { help } : {})}
      />
    );
  }
  if (kind === 'list') return <Items field={field} items={value as readonly Values[]} {...{ at, said, onChange }} />;
  if (kind === 'flag') {
    const box = <Checkbox checked={value === true} onChange={(_, checked) => onChange(checked)} autoFocus={first} />;
    return <FormControlLabel control={box} label={label} />;
  }
  if (kind === 'choices') return <Choices {...{ field, value, wrong, onChange }} />;
  const dated = kind === 'moment' || kind === 'date';
  const long = kind === 'long' || kind === 'json';
  return (
    <TextField
      className={long ? 'whole-row' : ''}
      size="small"
      fullWidth
      name={name}
      label={label}
      required={required}
      value={value}
      autoFocus={first}
      select={kind === 'choice'}
      multiline={long}
      minRows={2}
      maxRows={8}
      error={wrong !== null}
      helperText={wrong ?? help}
      type={INPUT_TYPES[kind] ?? 'text'}
      slotProps={{
        htmlInput: {
          ...{ min, max, maxLength: length, autoComplete: 'off', spellCheck: kind === 'long' },
          step: kind === 'integer' ? 1 : kind === 'number' ? 'any' : undefined,
        },
        inputLabel: dated ? { shrink: true } : {},
      }}
      onChange={(event) => onChange(event.target.value)}
    >
      {!required && <MenuItem value="">{words.none}</MenuItem>}
      {choices.map((choice) => (
        <MenuItem key={choice.value} value={choice.value}>
          {choice.label}
        </MenuItem>
      ))}
    </TextField>
  );
}

interface ChoicesProps {
  field: Field;
  value: Value;
  wrong: string | null;
  onChange: (value: Value) => void;
}

/** More than that are found by their names instead of by looking. */
const BOXES_MAX = 40;
const offered = createFilterOptions<Choice>({ limit: 50 });

/** Any number of things from a list. */
function Choices(props: ChoicesProps) {
  const { field, value, wrong, onChange } = props;
  if (field.find && field.choices && field.choices.length > BOXES_MAX) return <ManyChoices {...props} />;
  const chosen = value as readonly string[];
  const toggle = (one: string, on: boolean) =>
    onChange(on ? [...chosen, one] : chosen.filter((other) => other !== one));
  return (
    <fieldset className="choices whole-row">
      <legend>{field.label}</legend>
      {field.help && <p className="quiet">{field.help}</p>}
      {wrong && <p role="alert">{wrong}</p>}
      <div>
        {field.choices?.map((choice) => (
          <FormControlLabel
            key={choice.value}
            label={choice.label}
            control={
              <Checkbox
                size="small"
                checked={chosen.includes(choice.value)}
                onChange={(_, on) => toggle(choice.value, on)}
              />
            }
          />
        ))}
      </div>
    </fieldset>
  );
}

/** The same where the list is long. */
function ManyChoices({ field, value, wrong, onChange }: ChoicesProps) {
  const { name, label, help, find, choices = [] } = field;
  const chosen = (value as readonly string[]).map(
    (one) => choices.find((choice) => choice.value === one) ?? { value: one, label: one },
  );
  return (
    <Autocomplete
      className="whole-row"
      multiple
      size="small"
      options={choices}
      value={chosen}
      filterOptions={offered}
      getOptionKey={({ value }) => value}
      isOptionEqualToValue={(option, other) => option.value === other.value}
      noOptionsText={words.noMatch}
      onChange={(_, picked) => onChange(picked.map(({ value }) => value))}
      renderInput={(input) => (
        <TextField
          {...input}
          name={name}
          label={label}
          placeholder={find ?? ''}
          error={wrong !== null}
          helperText={wrong ?? help}
        />
      )}
    />
  );
}
