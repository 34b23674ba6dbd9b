// Somebody else has changed the record meanwhile: both versions side by side, and a choice for each field that both
// changed.

import { Button, Dialog, DialogActions, DialogContent, DialogTitle, Radio } from '@mui/material';
import { useState } from 'react';
import type { Field, Value, Values } from '../page/fields';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { strings } from '../strings';
import { allOf, type Choices, differences, merged } from './conflict';

const words = strings.admin.conflict;

export interface Conflicting {
  before: Values;
  mine: Values;
  theirs: Values;
  /** Of their version. */
  mark: string | null;
}

interface Props {
  name: string;
  fields: readonly Field[];
  conflict: Conflicting;
  onResolve: (values: Values) => Promise<unknown>;
  onClose: () => void;
}

export function Conflict({ name, fields, conflict: { before, mine, theirs }, onResolve, onClose }: Props) {
  const found = differences(fields, before, mine, theirs);
  const [choices, setChoices] = useState<Choices>(() => allOf(found, 'theirs'));
  const { busy, problem, run } = useChange();
  const contested = found.filter(({ contested }) => contested);
  const others = found.filter(({ contested }) => !contested);
  const put = (choices: Choices) => run(() => onResolve(merged(found, choices, mine, theirs)));
  const title = words.title(name);
  return (
    <Dialog open onClose={busy ? undefined : onClose} fullWidth maxWidth="sm" aria-label={title}>
      <DialogTitle>{title}</DialogTitle>
      <DialogContent className="form">
        <p>{contested.length ? words.text : words.textApart}</p>
        {contested.map(({ field }) => (
          <fieldset key={field.name} className="versions">
            <legend>{field.label}</legend>
            {(['mine', 'theirs'] as const).map((side) => {
              const version = (
                <>
                  <small className="quiet">{words[side]}</small>
                  <span className="said">{shownValue(field, (side === 'mine' ? mine : theirs)[field.name]!)}</span>
                </>
              );
              // One field alone is chosen by the buttons.
              if (contested.length === 1) return <div key={side}>{version}</div>;
              return (
                // biome-ignore lint/a11y/noLabelWithoutControl: the radio is in it
                <label key={side} data-chosen={choices[field.name] === side}>
                  <Radio
                    size="small"
                    name={`keep-${field.name}`}
                    checked={choices[field.name] === side}
                    onChange={() => setChoices({ ...choices, [field.name]: side })}
                  />
                  {version}
                </label>
              );
            })}
          </fieldset>
        ))}
        {others.length > 0 && (
          <ul className="quiet kept">
            {others.map(({ field, by }) => (
              <li key={field.name}>
                {words[by === 'mine' ? 'onlyMine' : 'onlyTheirs'](
                  field.label,
                  shownValue(field, (by === 'mine' ? mine : theirs)[field.name]!),
                )}
              </li>
            ))}
          </ul>
        )}
        {problem && problem.code !== 'changed' && <Trouble problem={problem} />}
      </DialogContent>
      <DialogActions className="wrap">
        <Button color="inherit" onClick={onClose} disabled={busy}>
          {strings.page.cancel}
        </Button>
        {contested.length > 0 && (
          <>
            <Button variant="outlined" onClick={() => put(allOf(found, 'theirs'))} disabled={busy}>
              {words.takeTheirs}
            </Button>
            <Button variant="outlined" onClick={() => put(allOf(found, 'mine'))} disabled={busy}>
              {words.keepMine}
            </Button>
          </>
        )}
        {contested.length !== 1 && (
          <Button variant="contained" onClick={() => put(choices)} disabled={busy}>
            {contested.length > 1 ? words.asChosen : strings.page.save}
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}

/** What stands in an input, in words. */
function shownValue({ kind, choices, named }: Field, value: Value): string {
  if (value === '') return words.nothing;
  if (typeof value === 'boolean') return strings.page[value ? 'yes' : 'no'];
  if (kind === 'list') return listed(value as readonly Values[]);
  const text = String(value);
  return named?.(text) ?? choices?.find((choice) => choice.value === text)?.label ?? text;
}

/** How many there are, and what they are called. */
function listed(items: readonly Values[]): string {
  const names = items.map(({ name }) => String(name || strings.page.none));
  return `${items.length}: ${names.join(', ')}`;
}
