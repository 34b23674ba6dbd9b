// One sort of the fleet's records: found, looked at, made, changed, removed.

import { MenuItem, TextField } from '@mui/material';
import { useState } from 'react';
import { change, readMarked } from '../api/client';
import { localTime } from '../format';
import { Confirm } from '../page/Confirm';
import { FormDialog } from '../page/Form';
import { changedBody, type Fields, newBody } from '../page/fields';
import { type Action, Nothing, Table } from '../page/Table';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { strings } from '../strings';
import { Head } from './Head';
import { choicesOf, formFields, labelOf, type RecordKind, wordOf } from './records';
import { useFleets, useList, usePaused } from './useList';

const words = strings.admin;

type Open =
  | { what: 'new' }
  | { what: 'edit'; record: Fields; mark: string | null }
  | { what: 'status'; record: Fields }
  | { what: 'remove'; record: Fields };

export function Records({ kind, change: mayChange }: { kind: RecordKind; change: boolean }) {
  const [text, setText] = useState('');
  const [status, setStatus] = useState('');
  const [open, setOpen] = useState<Open | null>(null);
  const fleets = useFleets();
  const q = usePaused(text.trim());
  const list = useList<Fields>(kind.section, { q, status });
  const { problem, run } = useChange();
  const one = words.one[kind.section];
  const path = ({ id }: Fields) => `${kind.section}/${encodeURIComponent(String(id))}`;

  const edit = (row: Fields) => run(async () => setOpen({ what: 'edit', ...(await readMarked<Fields>(path(row))) }));
  const actions = (row: Fields): Action[] => {
    if (!mayChange) return [];
    const moves = kind.section === 'deliveries';
    return [
      { label: words.edit, act: () => void edit(row) },
      ...(moves ? [{ label: words.status, act: () => setOpen({ what: 'status', record: row }) }] : []),
      { label: words.remove, danger: true, act: () => setOpen({ what: 'remove', record: row }) },
    ];
  };
  const add = mayChange ? { label: words.add(one), act: () => setOpen({ what: 'new' }) } : null;
  const narrowed = q !== '' || status !== '';
  return (
    <>
      <Head title={words.sections[kind.section]} add={add} search={{ text, onText: setText }}>
        <TextField
          select
          size="small"
          label={words.status}
          value={status}
          onChange={(event) => setStatus(event.target.value)}
          sx={{ minWidth: 120 }}
        >
          <MenuItem value="">{strings.page.none}</MenuItem>
          {kind.statuses.map((word) => (
            <MenuItem key={word} value={word}>
              {wordOf(word)}
            </MenuItem>
          ))}
        </TextField>
      </Head>
      {problem && <Trouble problem={problem} />}
      <Table
        label={words.sections[kind.section]}
        answered={list}
        onPage={list.onPage}
        idOf={({ id }) => String(id)}
        nameOf={(row) => nameOf(kind, row)}
        columns={[
          { label: words.id, cell: ({ id }) => String(id) },
          ...kind.columns.map((name) => ({
            label: labelOf(kind, name),
            cell: (row: Fields) => cell(name, row[name], fleets),
          })),
        ]}
        actions={actions}
        empty={
          narrowed ? (
            <Nothing text={words.noMatch} />
          ) : (
            <Nothing
              text={words.empty(words.sections[kind.section].toLowerCase())}
              {...(add ? { action: add.label, act: add.act } : {})}
            />
          )
        }
      />
      {open && dialogOf(open)}
    </>
  );

  function dialogOf(open: Open) {
    const close = () => setOpen(null);
    const then = async (doing: Promise<unknown>) => {
      await doing;
      list.again();
    };
    const fields = formFields(kind, fleets);
    switch (open.what) {
      case 'new':
        return (
          <FormDialog
            title={words.addTitle(one)}
            fields={fields}
            onSend={(values) => then(change('POST', kind.section, newBody(fields, values)))}
            onClose={close}
          />
        );
      case 'edit':
        return (
          <FormDialog
            title={words.editTitle(one, nameOf(kind, open.record))}
            fields={fields}
            record={open.record}
            onSend={(values, before) =>
              then(change('PATCH', path(open.record), changedBody(fields, before, values), open.mark))
            }
            onClose={close}
          />
        );
      case 'status':
        return (
          <FormDialog
            title={words.editTitle(one, nameOf(kind, open.record))}
            fields={[
              {
                name: 'status',
                label: words.status,
                kind: 'choice',
                required: true,
                choices: choicesOf(kind.statuses),
              },
            ]}
            record={open.record}
            onSend={({ status }) => then(change('PUT', `${path(open.record)}/status`, { status }))}
            onClose={close}
          />
        );
      case 'remove':
        return (
          <Confirm
            title={words.removeTitle(nameOf(kind, open.record))}
            text={words.removeText}
            action={words.remove}
            onYes={() => then(change('DELETE', path(open.record)))}
            onClose={close}
          />
        );
    }
  }
}

function nameOf(kind: RecordKind, row: Fields): string {
  return String(row[kind.name] || row.id);
}

function cell(name: string, value: unknown, fleets: readonly { value: string; label: string }[]) {
  if (value === null || value === undefined || value === '') return strings.page.none;
  if (name === 'fleet_id') return fleets.find((fleet) => fleet.value === value)?.label ?? String(value);
  if (name === 'status') return <span className="tag">{wordOf(String(value))}</span>;
  if (name === 'class') return wordOf(String(value));
  if (name.startsWith('window_')) return localTime(String(value));
  return String(value);
}
