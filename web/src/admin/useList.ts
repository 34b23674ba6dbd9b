// One page of a list, with what it is narrowed to.

import { useCallback, useEffect, useMemo, useState } from 'react';
import { address, type Listed, type Parameters, readList } from '../api/client';
import type { Fleet, Me, User } from '../api/types';
import type { Choice } from '../page/fields';
import { type Answered, useAnswer } from '../page/useAnswer';
import { may } from '../session/may';

export const PAGE_ROWS = 25;
const TYPING_MS = 300;
/** The most that the node lists at once. */
const ROWS_AT_ONCE = 1_000;

export interface List<Row> extends Answered<Listed<Row>> {
  onPage: (page: number) => void;
}

export function useList<Row>(path: string, narrowed: Parameters = {}): List<Row> {
  const asked = address(path, { ...narrowed, limit: PAGE_ROWS });
  const [at, setAt] = useState({ asked, page: 1 });
  const page = at.asked === asked ? at.page : 1;
  const url = page === 1 ? asked : address(path, { ...narrowed, limit: PAGE_ROWS, page });
  const ask = useCallback((signal: AbortSignal) => readList<Row>(url, signal), [url]);
  return { ...useAnswer(ask), onPage: (page) => setAt({ asked, page }) };
}

/** What was typed, once the typing pauses. */
export function usePaused(text: string): string {
  const [paused, setPaused] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return paused;
}

async function readAll<Row>(path: string, signal: AbortSignal): Promise<Row[]> {
  const all: Row[] = [];
  for (let page = 1; ; page++) {
    const url = address(path, { limit: ROWS_AT_ONCE, page: page === 1 ? null : page });
    const { rows, pagination } = await readList<Row>(url, signal);
    all.push(...rows);
    if (rows.length === 0 || all.length >= (pagination?.total ?? 0)) return all;
  }
}

const nothing = async (): Promise<never[]> => [];
const askFleets = (signal: AbortSignal) => readAll<Fleet>('fleets', signal);
const askUsers = (signal: AbortSignal) => readAll<User>('users', signal);

/** The fleets within reach as choices; none while they are not known. */
export function useFleets(me: Me): Choice[] {
  const { data } = useAnswer<Fleet[]>(may(me, 'fleet.read') ? askFleets : nothing);
  return data?.map(({ id, name }) => ({ value: id, label: name || id })) ?? [];
}

/** What users within reach are called, by their ids. */
export function useUserNames(me: Me): ReadonlyMap<string, string> {
  const { data } = useAnswer<User[]>(may(me, 'users.read') ? askUsers : nothing);
  return useMemo(() => new Map(data?.map(({ id, name, email }) => [id, name || email])), [data]);
}
