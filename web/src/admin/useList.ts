// One page of a list, with what it is narrowed to.

import { useCallback, useEffect, useState } from 'react';
import { address, type Listed, type Parameters, readList } from '../api/client';
import type { Fleet, Me } from '../api/types';
import type { Choice } from '../page/fields';
import { type Answered, useAnswer } from '../page/useAnswer';
import { may } from '../session/may';

export const PAGE_ROWS = 25;
const TYPING_MS = 300;
/** More fleets than that are not offered but typed. */
const FLEETS_MAX = 200;

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

const NO_FLEETS = async (): Promise<Listed<Fleet>> => ({ rows: [], pagination: null, next: null });
const askFleets = (signal: AbortSignal) => readList<Fleet>(address('fleets', { limit: FLEETS_MAX }), signal);

/** The fleets within reach as choices; none while they are not known. */
export function useFleets(me: Me): Choice[] {
  const { data } = useAnswer(may(me, 'fleet.read') ? askFleets : NO_FLEETS);
  return data?.rows.map(({ id, name }) => ({ value: id, label: name || id })) ?? [];
}
