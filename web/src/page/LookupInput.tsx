// An input that finds what somebody means by its name, and keeps its id.

import { Autocomplete, TextField } from '@mui/material';
import { useEffect, useState } from 'react';
import { Refused } from '../api/client';
import { strings } from '../strings';
import type { Choice, Found, Lookup } from './fields';

const words = strings.page;
const TYPING_MS = 250;

interface Props {
  name: string;
  label: string;
  value: string;
  lookup: Lookup;
  required?: boolean;
  help?: string;
  wrong?: string | null;
  first?: boolean;
  onChange: (value: string) => void;
}

export function LookupInput(props: Props) {
  const { name, label, value, lookup, required = false, help, wrong = null, first = false, onChange } = props;
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const { choices, note, failed } = useChoices(lookup, typed, open);
  const chosen = useChosen(lookup, value);
  const pick = (picked: Choice | string | null) => {
    if (typeof picked !== 'string') return onChange(picked?.value ?? '');
    // Leaving the field takes what stands in it: the name of what was chosen is no id.
    if (picked === chosen?.label) return;
    onChange(choices?.find(({ label }) => label === picked)?.value ?? picked);
  };
  return (
    <Autocomplete<Choice, false, false, boolean>
      size="small"
      fullWidth
      openOnFocus={false}
      freeSolo={lookup.free === true}
      autoSelect={lookup.free === true}
      value={chosen}
      options={choices ?? []}
      loading={choices === null}
      loadingText={words.loading}
      noOptionsText={failed ? words.failed : note ? `${words.noMatch} ${note}` : words.noMatch}
      // The node has looked already.
      filterOptions={(options) => options}
      getOptionLabel={(option) => (typeof option === 'string' ? option : option.label)}
      getOptionKey={(option) => (typeof option === 'string' ? option : option.value)}
      isOptionEqualToValue={(option, other) => option.value === (typeof other === 'string' ? other : other.value)}
      onOpen={() => setOpen(true)}
      onClose={() => setOpen(false)}
      onChange={(_, picked) => pick(picked)}
      onInputChange={(_, text, reason) => setTyped(reason === 'input' ? text : '')}
      renderOption={({ key, ...rest }, option) => (
        <li key={key} {...rest}>
          <span>{option.label}</span>
          {option.hint && <small className="quiet option-hint">{option.hint}</small>}
        </li>
      )}
      renderInput={(input) => (
        <TextField
          {...input}
          name={name}
          label={label}
          required={required}
          autoFocus={first}
          error={wrong !== null}
          helperText={wrong ?? note ?? help}
        />
      )}
    />
  );
}

type Looked = Omit<Found, 'choices'> & { choices: Choice[] | null; failed: boolean };
const LOOKING: Looked = { choices: null, failed: false };

/** What the node finds for what is typed; nothing while it looks. */
function useChoices(lookup: Lookup, typed: string, open: boolean) {
  const [found, setFound] = useState<Looked>(LOOKING);
  useEffect(() => {
    if (!open) return;
    const control = new AbortController();
    setFound(({ note }) => (note ? { ...LOOKING, note } : LOOKING));
    const look = () =>
      lookup.find(typed.trim(), control.signal).then(
        (found) => setFound({ ...found, failed: false }),
        (error: unknown) => {
          if (control.signal.aborted) return;
          if (!(error instanceof Refused)) throw error;
          setFound({ choices: [], failed: true });
        },
      );
    const timer = setTimeout(look, typed === '' ? 0 : TYPING_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [lookup, typed, open]);
  return found;
}

/** The value with its name, once that is known. */
function useChosen(lookup: Lookup, value: string): Choice | null {
  const [named, setNamed] = useState<Choice | null>(null);
  useEffect(() => {
    if (value === '') return;
    let wanted = true;
    void lookup.name(value).then((label) => {
      if (wanted) setNamed({ value, label: label ?? value });
    });
    return () => {
      wanted = false;
    };
  }, [lookup, value]);
  if (value === '') return null;
  return named?.value === value ? named : { value, label: value };
}
