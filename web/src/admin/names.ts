// What the ids in records are called: names are asked for in one request for a page of ids, and kept. Records are found
// here by what they are called, too.

import { useEffect, useState } from 'react';
import { address, Refused, readList, readMarked } from '../api/client';
import { whole } from '../format';
import type { Fields, Found, Lookup } from '../page/fields';
import { strings } from '../strings';
import { RESOURCES, type RecordName } from './definitions';
import { SHOWN, wordOf } from './shown';

/** Most ids of one request: its address stays short. */
const IDS_AT_ONCE = 50;
const FOUND_MAX = 20;
/** Sealed names are not searched by the node: so many records are looked through here. */
const SEALED_MAX = 1_000;

export interface RecordLookup extends Lookup {
  record: (id: string) => Promise<Fields | null>;
}

const names = new Map<string, string>();
/** Looked for, and not within reach: `fleets/f-1`. */
const absent = new Set<string>();
const lookups = new Map<string, RecordLookup>();

/** What a record is called by its own fields, without asking anybody. */
export function ownName(resource: RecordName, row: Fields): string {
  const field = SHOWN[resource].name.find((name) => row[name]);
  return String(field ? row[field] : row.id);
}

/** What a record is called; fields that name others by their names. */
export function nameOf(resource: RecordName, row: Fields): string {
  const field = SHOWN[resource].name.find((name) => row[name]);
  const references = RESOURCES[resource].fields.find(({ name }) => name === field)?.references;
  return references ? knownName(references, String(row[field!])) : ownName(resource, row);
}

/** The name, once it is known; the id before. */
export function knownName(resource: RecordName, id: string): string {
  return names.get(`${resource}/${id}`) ?? id;
}

/** True once it is known that there is no such record within reach. */
export function isAbsent(resource: RecordName, id: string): boolean {
  return absent.has(`${resource}/${id}`);
}

/** True if what records are called by is sealed: no node can search for it. */
export function hasSealedNames(resource: RecordName): boolean {
  const { name: called } = SHOWN[resource];
  return RESOURCES[resource].fields.some(({ name, personal }) => personal && called.includes(name));
}

export function remember(resource: RecordName, row: Fields): void {
  names.set(`${resource}/${row.id}`, ownName(resource, row));
  absent.delete(`${resource}/${row.id}`);
}

export type Wanted = readonly (readonly [resource: RecordName, id: string])[];

/** The ids of others in these records. */
export function idsIn(resource: RecordName, rows: readonly Fields[]): Wanted {
  const { fields } = RESOURCES[resource];
  const found = rows.flatMap((row) =>
    fields.flatMap((field): [RecordName, string][] => {
      const value = row[field.name];
      if (field.references && value) return [[field.references, String(value)]];
      const kind = SHOWN[resource].assets?.[field.name];
      const asset = kind && value ? assetResource(String(row[kind])) : null;
      if (asset) return [[asset, String(value)]];
      if (!Array.isArray(value)) return [];
      return field.items.flatMap(({ name, references }) =>
        references
          ? value.flatMap((item: Fields): [RecordName, string][] =>
              item[name] ? [[references, String(item[name])]] : [],
            )
          : [],
      );
    }),
  );
  return found;
}

/** Asks for the names of these; draws again when they are known. */
export function useNames(wanted: Wanted, may: (permission: string) => boolean): void {
  const [, draw] = useState(0);
  const key = missing(wanted, may);
  useEffect(() => {
    if (key === '') return;
    let here = true;
    void fetchAll(key).then(() => {
      if (here) draw((round) => round + 1);
    });
    return () => {
      here = false;
    };
  }, [key]);
}

/** On return these names are known, as far as somebody may know them. */
export async function knowNames(wanted: Wanted, may: (permission: string) => boolean): Promise<void> {
  const key = missing(wanted, may);
  if (key !== '') await fetchAll(key);
}

/** Those whose names are not known yet: `drivers/d-1 vehicles/v-1`. */
function missing(wanted: Wanted, may: (permission: string) => boolean): string {
  const unknown = wanted.filter(([resource, id]) => !names.has(`${resource}/${id}`) && may(RESOURCES[resource].read));
  return [...new Set(unknown.map(([resource, id]) => `${resource}/${id}`))].sort().join(' ');
}

async function fetchAll(key: string): Promise<void> {
  const asked = new Map<RecordName, string[]>();
  for (const one of key.split(' ')) {
    const [resource, id] = one.split('/') as [RecordName, string];
    asked.set(resource, [...(asked.get(resource) ?? []), id]);
  }
  await Promise.all([...asked].map(([resource, ids]) => fetchNames(resource, ids)));
}

async function fetchNames(resource: RecordName, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
    const some = ids.slice(at, at + IDS_AT_ONCE);
    try {
      const { rows } = await readList<Fields>(address(resource, { 'id[in]': some.join(','), limit: some.length }));
      for (const id of some) absent.add(`${resource}/${id}`);
      for (const row of rows) remember(resource, row);
    } catch (error) {
      // Without names the ids are shown.
      if (!(error instanceof Refused)) throw error;
    }
    // What is out of reach is not asked for again.
    for (const id of some) if (!names.has(`${resource}/${id}`)) names.set(`${resource}/${id}`, id);
  }
}

/** Finds records of that sort by what they are called. The same object each time. */
export function lookupOf(resource: RecordName): RecordLookup {
  const made = lookups.get(resource) ?? makeLookup(resource);
  lookups.set(resource, made);
  return made;
}

function makeLookup(resource: RecordName): RecordLookup {
  const record = async (id: string) => {
    try {
      return (await readMarked<Fields>(`${resource}/${encodeURIComponent(id)}`)).record;
    } catch (error) {
      if (error instanceof Refused) return null;
      throw error;
    }
  };
  return {
    record,
    find: hasSealedNames(resource)
      ? findSealed(resource)
      : (text, signal) => find(resource, { q: text, limit: FOUND_MAX }, signal),
    name: async (id) => {
      const known = names.get(`${resource}/${id}`);
      if (known) return known;
      const row = await record(id);
      if (!row) return null;
      remember(resource, row);
      return ownName(resource, row);
    },
  };
}

async function find(
  resource: RecordName,
  asked: { q?: string; limit: number },
  signal: AbortSignal,
): Promise<Found & { total: number }> {
  const { rows, pagination } = await readList<Fields>(address(resource, asked), signal);
  const choices = rows.map((row) => {
    remember(resource, row);
    const { hint } = SHOWN[resource];
    const said =
      hint && row[hint] ? (hint === 'status' ? wordOf(String(row[hint])) : String(row[hint])) : String(row.id);
    return { value: String(row.id), label: ownName(resource, row), hint: said };
  });
  return { choices, total: pagination?.total ?? rows.length };
}

/** By names among the first records, by what the node can find among all: e-mail, telephone number, id. */
function findSealed(resource: RecordName): Lookup['find'] {
  return async (text, signal) => {
    const [all, exact] = await Promise.all([
      find(resource, { limit: SEALED_MAX }, signal),
      text === '' ? null : find(resource, { q: text, limit: FOUND_MAX }, signal),
    ]);
    const low = text.toLowerCase();
    const named = all.choices.filter(({ label }) => label.toLowerCase().includes(low));
    const more = exact?.choices.filter(({ value }) => !named.some((one) => one.value === value)) ?? [];
    const choices = [...more, ...named].slice(0, FOUND_MAX);
    return all.total > SEALED_MAX ? { choices, note: strings.admin.records.someNames(whole(SEALED_MAX)) } : { choices };
  };
}

const ASSETS: Readonly<Record<string, RecordName>> = Object.fromEntries(
  Object.values(RESOURCES).flatMap(({ asset, name }) => (asset ? [[asset, name]] : [])),
);

/** The records of a kind of asset, if it has any. */
export function assetResource(kind: string): RecordName | null {
  return ASSETS[kind] ?? null;
}

/** Finds assets of a kind. Ids that no record has are taken as they are: reports may come before records. */
export function assetLookup(kind: string, may: (permission: string) => boolean): RecordLookup | null {
  const resource = assetResource(kind);
  if (!resource || !may(RESOURCES[resource].read)) return null;
  const key = `${resource} free`;
  const made = lookups.get(key) ?? { ...lookupOf(resource), free: true };
  lookups.set(key, made);
  return made;
}
