// A list as a table; on narrow pages each row is a card. Draws loading, nothing and failed as well.

import { Button, IconButton, LinearProgress, Menu, MenuItem, Skeleton, TableSortLabel } from '@mui/material';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import type { Listed, Problem } from '../api/client';
import type { Pagination } from '../api/types';
import { whole } from '../format';
import { BackIcon, ForwardIcon, MoreIcon } from '../icons';
import { strings } from '../strings';
import { Failed } from './Trouble';

const words = strings.page;
const SKELETON_ROWS = ['a', 'b', 'c', 'd'];

export interface Column<Row> {
  label: string;
  cell: (row: Row) => ReactNode;
  /** What the list is sorted by under this head. */
  sort?: string;
}

/** How a list is sorted: `-date`, and how it becomes sorted otherwise. */
export interface Sorting {
  by: string;
  onSort: (by: string) => void;
}

export interface Action {
  label: string;
  danger?: boolean;
  act: () => void;
}

interface Props<Row> {
  label: string;
  columns: readonly Column<Row>[];
  answered: { data: Listed<Row> | null; problem: Problem | null; busy: boolean; again: () => void };
  idOf: (row: Row) => string;
  nameOf: (row: Row) => string;
  actions?: (row: Row) => Action[];
  empty: ReactNode;
  onPage?: (page: number) => void;
  sorting?: Sorting;
}

export function Table<Row>(props: Props<Row>) {
  const { label, columns, answered, empty, onPage } = props;
  const { problem, busy, again } = answered;
  const beyond = useLastPage(answered, onPage);
  const box = useTopOfPage(answered.data?.pagination?.page);
  const data = beyond ? null : answered.data;
  if (problem) return <Failed problem={problem} again={again} />;
  if (data?.rows.length === 0 && !busy) return <div className="blank quiet">{empty}</div>;
  return (
    <div aria-busy={busy || beyond} className="table-box" ref={box}>
      {busy && data && <LinearProgress aria-label={words.loading} />}
      <table className="table" aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <ColumnHead key={column.label} column={column} {...(props.sorting ? { sorting: props.sorting } : {})} />
            ))}
            {props.actions && <td />}
          </tr>
        </thead>
        <tbody>
          {data ? (
            data.rows.map((row) => <Line key={props.idOf(row)} row={row} {...props} />)
          ) : (
            <Waiting columns={columns.length + 1} />
          )}
        </tbody>
      </table>
      {data?.pagination && onPage && <Pager {...data.pagination} onPage={onPage} />}
    </div>
  );
}

/** Behind the last page is nothing, though there are rows: they have become fewer, or the address is old. Goes to the last. */
function useLastPage<Row>({ data, busy }: Props<Row>['answered'], onPage: Props<Row>['onPage']): boolean {
  const { page = 1, limit = 1, total = 0 } = data?.pagination ?? {};
  const last = lastPage(total, limit);
  const beyond = data?.rows.length === 0 && page > last && onPage !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: gone to once for each answer
  useEffect(() => {
    if (beyond && !busy) onPage?.(last);
  }, [beyond, busy, last]);
  return beyond;
}

/** Another page is read from its top. */
function useTopOfPage(page: number | undefined) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef(page);
  useEffect(() => {
    const before = shown.current;
    shown.current = page;
    if (before === undefined || page === undefined || before === page) return;
    const top = (element: Element | null | undefined) => element?.getBoundingClientRect().top ?? 0;
    if (top(box.current) < top(box.current?.closest('main'))) box.current?.scrollIntoView({ block: 'start' });
  }, [page]);
  return box;
}

function lastPage(total: number, limit: number): number {
  return Math.max(1, Math.ceil(total / limit));
}

function ColumnHead<Row>({ column: { label, sort }, sorting }: { column: Column<Row>; sorting?: Sorting }) {
  if (!sort || !sorting) return <th scope="col">{label}</th>;
  const { by, onSort } = sorting;
  const down = by === `-${sort}`;
  const active = by === sort || down;
  return (
    <th scope="col" aria-sort={active ? (down ? 'descending' : 'ascending') : 'none'}>
      <TableSortLabel
        active={active}
        direction={down ? 'desc' : 'asc'}
        onClick={() => onSort(by === sort ? `-${sort}` : sort)}
      >
        {label}
      </TableSortLabel>
    </th>
  );
}

function Waiting({ columns }: { columns: number }) {
  return SKELETON_ROWS.map((row) => (
    <tr key={row}>
      <td colSpan={columns}>
        <Skeleton height={22} aria-label={words.loading} />
      </td>
    </tr>
  ));
}

function Line<Row>({ row, columns, actions, nameOf }: Props<Row> & { row: Row }) {
  const offered = actions?.(row);
  return (
    <tr>
      {columns.map((column) => (
        <td key={column.label} data-label={column.label}>
          <span>{column.cell(row)}</span>
        </td>
      ))}
      {offered && (
        <td className="row-actions">{offered.length > 0 && <RowMenu name={nameOf(row)} actions={offered} />}</td>
      )}
    </tr>
  );
}

function RowMenu({ name, actions }: { name: string; actions: Action[] }) {
  const [at, setAt] = useState<HTMLElement | null>(null);
  return (
    <>
      <IconButton
        size="small"
        aria-label={words.actions(name)}
        aria-haspopup="menu"
        onClick={(event) => setAt(event.currentTarget)}
      >
        <MoreIcon size={18} />
      </IconButton>
      <Menu anchorEl={at} open={at !== null} onClose={() => setAt(null)}>
        {actions.map(({ label, danger, act }) => (
          <MenuItem
            key={label}
            dense
            sx={danger ? { color: 'error.main' } : {}}
            onClick={() => {
              setAt(null);
              act();
            }}
          >
            {label}
          </MenuItem>
        ))}
      </Menu>
    </>
  );
}

function Pager({ page, limit, total, onPage }: Pagination & { onPage: (page: number) => void }) {
  const last = lastPage(total, limit);
  if (last === 1) return null;
  const from = (page - 1) * limit + 1;
  return (
    <nav className="pager">
      <IconButton size="small" aria-label={words.previous} disabled={page <= 1} onClick={() => onPage(page - 1)}>
        <BackIcon size={18} />
      </IconButton>
      <span className="numbers" aria-live="polite">
        {words.range(whole(from), whole(Math.min(from + limit - 1, total)), whole(total))}
      </span>
      <IconButton size="small" aria-label={words.next} disabled={page >= last} onClick={() => onPage(page + 1)}>
        <ForwardIcon size={18} />
      </IconButton>
    </nav>
  );
}

/** "No vehicles yet." with the button that changes it. */
export function Nothing({ text, action, act }: { text: string; action?: string; act?: () => void }) {
  return (
    <>
      <p>{text}</p>
      {action && (
        <Button variant="outlined" size="small" onClick={act}>
          {action}
        </Button>
      )}
    </>
  );
}
