// A list of things inside a form, in their order: added, moved, taken away.

import { Button, IconButton } from '@mui/material';
import { useRef, useState } from 'react';
import { CloseIcon, DownIcon, PlusIcon, UpIcon } from '../icons';
import { strings } from '../strings';
import { type Field, startValues, type Value, type Values } from './fields';
import { Inputs, type Said } from './Input';

const words = strings.page.items;

interface Props {
  field: Field;
  items: readonly Values[];
  at: string;
  said: Said;
  onChange: (items: Value) => void;
}

export function Items({ field, items, at, said, onChange }: Props) {
  const { label, item = label, items: fields = [], most = Number.POSITIVE_INFINITY } = field;
  // Items have no ids: theirs here stay with them when they move.
  const next = useRef(items.length);
  const [keys, setKeys] = useState(() => items.map((_, n) => n));
  const latest = useRef(items);
  latest.current = items;

  const put = (items: readonly Values[], keys: number[]) => {
    setKeys(keys);
    onChange(items);
  };
  const add = () => put([...items, startValues(fields, null)], [...keys, next.current++]);
  const remove = (n: number) => put(items.toSpliced(n, 1), keys.toSpliced(n, 1));
  const move = (n: number, to: number) => put(moved(items, n, to), moved(keys, n, to));
  const change = (n: number, change: (values: Values) => Values) => {
    // What was looked up comes later, when other items may have changed too.
    latest.current = latest.current.with(n, change(latest.current[n]!));
    onChange(latest.current);
  };
  return (
    <fieldset className="items whole-row">
      <legend>{label}</legend>
      {said?.at === at && <p role="alert">{said.text}</p>}
      {items.length === 0 && <p className="quiet">{words.none}</p>}
      <ol>
        {items.map((values, n) => (
          <li key={keys[n]} aria-label={words.nth(item, n + 1)}>
            <header>
              <strong>{words.nth(item, n + 1)}</strong>
              <IconButton size="small" aria-label={words.up(n + 1)} disabled={n === 0} onClick={() => move(n, n - 1)}>
                <UpIcon size={16} />
              </IconButton>
              <IconButton
                size="small"
                aria-label={words.down(n + 1)}
                disabled={n === items.length - 1}
                onClick={() => move(n, n + 1)}
              >
                <DownIcon size={16} />
              </IconButton>
              <IconButton size="small" aria-label={words.remove(n + 1)} onClick={() => remove(n)}>
                <CloseIcon size={16} />
              </IconButton>
            </header>
            <div className="item-fields">
              <Inputs
                fields={fields}
                values={values}
                said={said}
                within={`${at}.${n}.`}
                onChange={(how) => change(n, how)}
              />
            </div>
          </li>
        ))}
      </ol>
      {items.length < most && (
        <Button variant="outlined" size="small" startIcon={<PlusIcon size={16} />} onClick={add}>
          {words.add(item)}
        </Button>
      )}
    </fieldset>
  );
}

function moved<Item>(list: readonly Item[], from: number, to: number): Item[] {
  const rest = list.toSpliced(from, 1);
  return rest.toSpliced(to, 0, list[from]!);
}
