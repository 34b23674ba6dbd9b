// A dialog with a form from a list of fields. What the node says against a field stands at that field.

import {
  Button,
  Checkbox,
  Dialog,
  DialogActions,
  DialogContent,
  DialogTitle,
  FormControlLabel,
  MenuItem,
  TextField,
} from '@mui/material';
import { type FormEvent, useState } from 'react';
import type { Problem } from '../api/client';
import { strings } from '../strings';
import { type Field, type Fields, missing, startValues, type Values } from './fields';
import { Trouble } from './Trouble';
import { useChange } from './useAnswer';

const words = strings.page;

interface Props {
  title: string;
  text?: string;
  fields: readonly Field[];
  /** What is changed; nothing when something is made. */
  record?: Fields | null;
  submit?: string;
  onSend: (values: Values, before: Values) => Promise<unknown>;
  onClose: () => void;
}

export function FormDialog({ title, text, fields, record = null, submit = words.save, onSend, onClose }: Props) {
  const [before] = useState(() => startValues(fields, record ?? {}));
  const [values, setValues] = useState(before);
  const [empty, setEmpty] = useState<Field | undefined>();
  const { busy, problem, run } = useChange();
  const shown = fields.filter(({ onlyNew }) => record === null || !onlyNew);
  const atField = shown.some(({ name }) => name === problem?.details?.field);

  const send = async (event: FormEvent) => {
    event.preventDefault();
    const gap = missing(shown, values);
    setEmpty(gap);
    if (!gap && (await run(() => onSend(values, before)))) onClose();
  };
  return (
    <Dialog open onClose={busy ? undefined : onClose} fullWidth maxWidth="xs" aria-label={title}>
      <form onSubmit={send} noValidate>
        <DialogTitle>{title}</DialogTitle>
        <DialogContent className="form">
          {text && <p className="quiet">{text}</p>}
          {shown.map((field, at) => (
            <Input
              key={field.name}
              field={field}
              value={values[field.name]!}
              wrong={empty === field ? words.required : wrongOf(problem, field)}
              first={at === 0}
              onChange={(value) => setValues({ ...values, [field.name]: value })}
            />
          ))}
          {problem && !atField && <Trouble problem={problem} />}
        </DialogContent>
        <DialogActions>
          <Button color="inherit" onClick={onClose} disabled={busy}>
            {words.cancel}
          </Button>
          <Button type="submit" variant="contained" disabled={busy}>
            {submit}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function wrongOf(problem: Problem | null, { name }: Field): string | null {
  return problem?.details?.field === name ? problem.message : null;
}

interface InputProps {
  field: Field;
  value: Values[string];
  wrong: string | null;
  first: boolean;
  onChange: (value: Values[string]) => void;
}

const INPUT_TYPES: Partial<Record<Field['kind'], string>> = {
  email: 'email',
  number: 'number',
  moment: 'datetime-local',
};

function Input({ field, value, wrong, first, onChange }: InputProps) {
  const { name, label, kind, required = false, help, choices = [], min, max } = field;
  if (kind === 'flag') {
    const box = <Checkbox checked={value === true} onChange={(_, checked) => onChange(checked)} autoFocus={first} />;
    return <FormControlLabel control={box} label={label} />;
  }
  if (kind === 'choices') return <Choices {...{ field, value, wrong, onChange }} />;
  return (
    <TextField
      size="small"
      fullWidth
      name={name}
      label={label}
      required={required}
      value={value}
      autoFocus={first}
      select={kind === 'choice'}
      multiline={kind === 'long'}
      minRows={2}
      error={wrong !== null}
      helperText={wrong ?? help}
      type={INPUT_TYPES[kind] ?? 'text'}
      slotProps={{
        htmlInput: { min, max, step: 'any', autoComplete: 'off', spellCheck: kind === 'long' },
        inputLabel: kind === 'moment' ? { shrink: true } : {},
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

/** Any number of things from a list. */
function Choices({ field, value, wrong, onChange }: Omit<InputProps, 'first'>) {
  const chosen = value as readonly string[];
  const toggle = (one: string, on: boolean) =>
    onChange(on ? [...chosen, one] : chosen.filter((other) => other !== one));
  return (
    <fieldset className="choices">
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
