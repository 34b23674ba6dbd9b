// One sort of records as a list: found, narrowed, sorted, made, changed, removed, brought in and taken out as files.

import { Button } from '@mui/material';
import { type ComponentProps, useCallback, useEffect, useId, useState } from 'react';
import { address, change, readList, readMarked } from '../api/client';
import type { Me } from '../api/types';
import { DownloadIcon, FilterIcon, UploadIcon } from '../icons';
import { Confirm } from '../page/Confirm';
import type { Fields } from '../page/fields';
import { type Action, Nothing, Table } from '../page/Table';
import { Trouble } from '../page/Trouble';
import { useAnswer, useChange } from '../page/useAnswer';
import { may, mayChange, mayMake, nextSteps } from '../session/may';
import { recordAddress } from '../session/route';
import { strings } from '../strings';
import { askedOf } from './asked';
import { cellOf, Erased } from './cells';
import { type Definition, RESOURCES, type RecordName } from './definitions';
import { Filters } from './Filters';
import { Head, Search } from './Head';
import { ImportDialog } from './ImportDialog';
import { hasSealedNames, idsIn, nameOf, remember, useNames } from './names';
import { type Marked, RecordForm, recordPath } from './RecordForm';
import { StepDialog } from './StepDialog';
import { labelOf, SHOWN, wordOf } from './shown';
import { PAGE_ROWS, usePaused } from './useList';

const words = strings.admin;
const more = strings.admin.records;

type Open =
  | { what: 'new' | 'import' }
  | { what: 'edit'; marked: Marked }
  | { what: 'step'; record: Fields; to: string }
  | { what: 'remove'; record: Fields };

export function Records({ me, section, asked: text }: { me: Me; section: RecordName; asked: string }) {
  const resource = RESOURCES[section];
  const asked = askedOf(resource, text);
  const [open, setOpen] = useState<Open | null>(null);
  const [narrowing, setNarrowing] = useState(asked.filters > 0);
  const panel = useId();
  const url = address(section, { ...asked.parameters, limit: PAGE_ROWS });
  const ask = useCallback((signal: AbortSignal) => readList<Fields>(url, signal), [url]);
  const list = useAnswer(ask);
  const { problem, run } = useChange();
  useNames(idsIn(section, list.data?.rows ?? []), (permission) => may(me, permission));
  for (const row of list.data?.rows ?? []) remember(section, row);

  const { one } = resource;
  const mayEdit = mayChange(me, section);
  const make = mayMake(me, resource);
  const edit = (row: Fields) =>
    run(async () => setOpen({ what: 'edit', marked: await readMarked<Fields>(recordPath(resource, row.id)) }));
  const actions = (row: Fields): Action[] => [
    ...nextSteps(me, resource, String(row.status)).map((to) => ({
      label: more.moveTo(wordOf(to)),
      act: () => setOpen({ what: 'step', record: row, to }),
    })),
    ...(mayEdit ? [{ label: words.edit, act: () => void edit(row) }] : []),
    ...(make ? [{ label: words.remove, danger: true, act: () => setOpen({ what: 'remove', record: row }) }] : []),
  ];
  const add = make ? { label: words.add(one), act: () => setOpen({ what: 'new' }) } : null;
  const narrowed = asked.q !== '' || asked.filters > 0;
  const sealed = hasSealedNames(section);
  const title = words.sections[section];
  return (
    <>
      <Head title={title} add={add}>
        <PausedSearch
          title={title}
          text={asked.q}
          {...(sealed ? { placeholder: more.searchSealed } : {})}
          onText={(q) => asked.set({ q })}
        />
        <Button
          color="inherit"
          variant="outlined"
          startIcon={<FilterIcon size={16} />}
          aria-expanded={narrowing}
          aria-controls={panel}
          onClick={() => setNarrowing(!narrowing)}
        >
          {asked.filters > 0 ? more.filtersSet(asked.filters) : more.filters}
        </Button>
      </Head>
      {narrowing && <Filters me={me} resource={resource} asked={asked} id={panel} />}
      {problem && <Trouble problem={problem} />}
      <Table
        label={title}
        answered={list}
        onPage={asked.onPage}
        sorting={{ by: asked.sort, onSort: asked.onSort }}
        idOf={({ id }) => String(id)}
        nameOf={(row) => nameOf(section, row)}
        columns={[
          {
            label: nameLabel(section),
            ...nameSort(section),
            cell: (row: Fields) => <Name section={section} row={row} />,
          },
          ...columnsOf(section).map((field) => ({
            label: labelOf(field.name),
            ...(field.sortable ? { sort: field.name } : {}),
            cell: (row: Fields) => cellOf(me, section, field, row),
          })),
        ]}
        {...(mayEdit || make || resource.transitions ? { actions } : {})}
        empty={
          narrowed ? (
            <Nothing
              text={sealed && asked.q !== '' ? more.noMatchSealed : words.noMatch}
              action={more.showAll}
              act={() => {
                asked.set({ q: '' });
                asked.clear();
              }}
            />
          ) : (
            <Nothing text={words.empty(title.toLowerCase())} {...(add ? { action: add.label, act: add.act } : {})} />
          )
        }
      />
      <div className="files">
        <Button
          color="inherit"
          size="small"
          startIcon={<DownloadIcon size={16} />}
          href={address(`${section}/export`, asked.narrowing)}
          download={`${section}.csv`}
        >
          {narrowed ? more.exportFound : more.exportAll}
        </Button>
        {make && (
          <Button
            color="inherit"
            size="small"
            startIcon={<UploadIcon size={16} />}
            onClick={() => setOpen({ what: 'import' })}
          >
            {more.import}
          </Button>
        )}
      </div>
      {open && dialogOf(open)}
    </>
  );

  function dialogOf(open: Open) {
    const close = () => setOpen(null);
    switch (open.what) {
      case 'new':
        return <RecordForm me={me} resource={resource} onDone={list.again} onClose={close} />;
      case 'edit':
        return <RecordForm me={me} resource={resource} marked={open.marked} onDone={list.again} onClose={close} />;
      case 'import':
        return <ImportDialog resource={resource} onDone={list.again} onClose={close} />;
      case 'step':
        return <StepDialog me={me} {...open} onDone={list.again} onClose={close} />;
      case 'remove':
        return (
          <RemoveRecord
            section={section}
            record={open.record}
            onDone={list.again}
            onClose={() => {
              close();
              list.again();
            }}
          />
        );
    }
  }
}

interface RemoveProps {
  section: RecordName;
  record: Fields;
  onDone: () => void;
  onClose: () => void;
}

/** Removes what was looked at, not what somebody has made of it since. */
export function RemoveRecord({ section, record, onDone, onClose }: RemoveProps) {
  const remove = async () => {
    await change('DELETE', recordPath(RESOURCES[section], record.id), undefined, `"${record.version}"`);
    onDone();
  };
  return (
    <Confirm
      title={words.removeTitle(nameOf(section, record))}
      text={words.removeText}
      action={words.remove}
      onYes={remove}
      onClose={onClose}
    />
  );
}

/** What is typed is searched once the typing pauses. */
function PausedSearch({ text, onText, ...shown }: ComponentProps<typeof Search>) {
  const [typed, setTyped] = useState(text);
  const paused = usePaused(typed.trim());
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is typed here is told
  useEffect(() => {
    if (paused !== text) onText(paused);
  }, [paused]);
  // The way back, or "show all", changes it from outside.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what comes from outside is taken
  useEffect(() => {
    if (text !== typed.trim()) setTyped(text);
  }, [text]);
  return <Search {...shown} text={typed} onText={setTyped} />;
}

function Name({ section, row }: { section: RecordName; row: Fields }) {
  const id = String(row.id);
  const name = nameOf(section, row);
  return (
    <>
      <a href={recordAddress(section, id)}>
        <strong>{name}</strong>
      </a>
      {name !== id && <small className="quiet">{id}</small>}
      {row.erased === true && <Erased />}
    </>
  );
}

function nameLabel(section: RecordName): string {
  return labelOf(SHOWN[section].name[0]!);
}

function nameSort(section: RecordName): { sort?: string } {
  const name = SHOWN[section].name[0]!;
  return { sort: RESOURCES[section].sortable.includes(name) ? name : 'id' };
}

function columnsOf(section: RecordName): Definition[] {
  const { fields } = RESOURCES[section];
  return SHOWN[section].columns.flatMap((name) => fields.find((field) => field.name === name) ?? []);
}
