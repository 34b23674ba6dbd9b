// What a list is asked for, as the address of the page has it: search, filters, order, page. So a list can be linked to,
// and the way back leads to where one was.

import type { Parameters } from '../api/client';
import { replacePage } from '../session/route';
import type { RecordName, Resource } from './definitions';
import { SHOWN } from './shown';

export interface Asked {
  q: string;
  page: number;
  sort: string;
  /** How many filters are set. */
  filters: number;
  value: (name: string) => string;
  /** Narrows the list, from its first page. */
  set: (values: Readonly<Record<string, string>>) => void;
  onPage: (page: number) => void;
  onSort: (by: string) => void;
  clear: () => void;
  /** What the node is asked. */
  parameters: Parameters;
  /** What of it also narrows an export. */
  narrowing: Parameters;
}

const OWN = ['q', 'page', 'sort'];
const USUAL_SORT = 'id';

export function askedOf(resource: Resource, text: string): Asked {
  const asked = new URLSearchParams(text);
  const section: RecordName = resource.name;
  const usual = SHOWN[section].sort ?? USUAL_SORT;
  const sort = asked.get('sort') ?? usual;
  const page = Math.max(1, Math.floor(Number(asked.get('page') ?? 1)) || 1);
  const filters = [...asked].filter(([name, value]) => !OWN.includes(name) && value !== '');
  const go = (values: Readonly<Record<string, string>>) => {
    const next = new URLSearchParams(asked);
    for (const [name, value] of Object.entries(values)) {
      if (value === '') next.delete(name);
      else next.set(name, value);
    }
    replacePage({ name: 'admin', section, asked: next.toString() });
  };
  const narrowing: Parameters = {
    ...Object.fromEntries(filters.map(([name, value]) => [name, sentFilter(resource, name, value)])),
    q: asked.get('q'),
  };
  return {
    q: asked.get('q') ?? '',
    page,
    sort,
    filters: filters.length,
    value: (name) => asked.get(name) ?? '',
    set: (values) => go({ ...values, page: '' }),
    onPage: (page) => go({ page: page === 1 ? '' : String(page) }),
    onSort: (by) => go({ sort: by === usual ? '' : by, page: '' }),
    clear: () => go(Object.fromEntries([...filters.map(([name]) => [name, '']), ['page', '']])),
    parameters: { ...narrowing, sort, page },
    narrowing,
  };
}

/** The reader's own time becomes a moment; what is no time yet is left out. */
function sentFilter({ fields }: Resource, name: string, value: string): string | null {
  const kind = fields.find((field) => name.startsWith(`${field.name}[`))?.kind;
  if (kind !== 'moment') return value;
  const moment = new Date(value);
  return Number.isNaN(moment.getTime()) ? null : moment.toISOString();
}
