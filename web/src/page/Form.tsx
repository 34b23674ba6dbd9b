// A dialog with a form from a list of fields. What is wrong with a field, here or by the node's word, stands at it.

import { Button, Dialog, DialogActions, DialogContent, DialogTitle, useMediaQuery } from '@mui/material';
import { type FormEvent, useState } from 'react';
import type { Problem } from '../api/client';
import { strings } from '../strings';
import { type Field, type Fields, firstWrong, same, startValues, type Values, type Wrong } from './fields';
import { Inputs } from './Input';
import { Trouble } from './Trouble';
import { useUnsaved } from './unsaved';
import { useChange } from './useAnswer';

const words = strings.page;
/** More fields than that stand side by side where there is room. */
const NARROW_FIELDS = 6;

interface Props {
  title: string;
  text?: string;
  fields: readonly Field[];
  /** What is changed; nothing when something is made. */
  record?: Fields | null;
  /** What a new one starts with. */
  start?: Fields | null;
  submit?: string;
  onSend: (values: Values, before: Values) => Promise<unknown>;
  onClose: () => void;
}

export function FormDialog(props: Props) {
  const { title, text, fields, record = null, start = null, submit = words.save, onSend, onClose } = props;
  const [before] = useState(() => ({ ...startValues(fields, record), ...startValues(given(fields, start), start) }));
  const [values, setValues] = useState(before);
  const [wrong, setWrong] = useState<Wrong | undefined>();
  const { busy, problem, run } = useChange();
  const shown = fields.filter(({ onlyNew }) => record === null || !onlyNew);
  const said = wrong ? { at: wrong.at, text: wordsOf(wrong) } : saidOf(problem, shown);
  const narrow = useMediaQuery('(max-width: 600px)');
  const wide = shown.length > NARROW_FIELDS;
  const typed = shown.some(({ name }) => !same(before[name], values[name]));
  useUnsaved(typed);

  const send = async (event: FormEvent) => {
    event.preventDefault();
    const found = firstWrong(shown, values);
    setWrong(found);
    if (!found && (await run(() => onSend(values, before)))) onClose();
  };
  return (
    <Dialog
      open
      // A click beside it takes away nothing that somebody has typed.
      onClose={(_, reason) => {
        if (!busy && !(typed && reason === 'backdropClick')) onClose();
      }}
      fullWidth
      fullScreen={narrow && wide}
      maxWidth={wide ? 'sm' : 'xs'}
      aria-label={title}
    >
      <form onSubmit={send} noValidate>
        <DialogTitle>{title}</DialogTitle>
        <DialogContent className={wide ? 'form wide-form' : 'form'}>
          {text && <p className="quiet">{text}</p>}
          <Inputs fields={shown} values={values} said={said} first onChange={setValues} />
          {problem && !wrong && !said && <Trouble problem={problem} />}
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

function given(fields: readonly Field[], start: Fields | null): Field[] {
  return fields.filter(({ name }) => start !== null && name in start);
}

function wordsOf({ what, limit }: Wrong): string {
  switch (what) {
    case 'required':
      return words.required;
    case 'json':
      return words.notJson;
    case 'whole':
      return words.notWhole;
    case 'least':
      return words.atLeast(limit!);
    case 'most':
      return words.atMost(limit!);
  }
}

/** What the node said, if it is about a field that is shown: `stops[2].latitude` is the third item's. */
function saidOf(problem: Problem | null, shown: readonly Field[]): { at: string; text: string } | null {
  const at = problem?.details?.field?.replace(/\[(\d+)\]/g, '.$1');
  if (!problem || !at) return null;
  const field = shown.find(({ name }) => name === at || at.startsWith(`${name}.`));
  if (!field) return null;
  return { at: field.kind === 'list' ? at : field.name, text: problem.message };
}
