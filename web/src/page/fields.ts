// Forms as lists of fields: what a field may hold, what it starts with, and what of it is sent.

export interface Choice {
  value: string;
  label: string;
  /** Said beside the label, where labels alone do not tell things apart. */
  hint?: string;
}

/** What was found, and what is to be known about it. */
export interface Found {
  choices: Choice[];
  note?: string;
}

/** Where choices are looked up while somebody types. */
export interface Lookup {
  find: (text: string, signal: AbortSignal) => Promise<Found>;
  /** What a value is called; nothing if there is nothing of it within reach. */
  name: (value: string) => Promise<string | null>;
  /** True if values that are not among the choices are taken as they are typed. */
  free?: boolean;
}

export interface Field {
  name: string;
  label: string;
  kind:
    | 'text'
    | 'email'
    | 'number'
    | 'integer'
    | 'choice'
    | 'choices'
    | 'moment'
    | 'date'
    | 'flag'
    | 'long'
    | 'lookup'
    | 'json'
    | 'list';
  required?: boolean;
  /** Of `choice` and `choices`. */
  choices?: readonly Choice[];
  /** Of `choices`: what is asked where there are too many to show at once. */
  find?: string;
  /** Of `lookup`; by what else stands in the form. Nothing: it is typed. */
  lookup?: (values: Values) => Lookup | null;
  /** What a value is called, as far as that is known. */
  named?: (value: string) => string;
  /** What a value that was looked up says of other fields: put there where they are empty. */
  fills?: (value: string) => Promise<Fields>;
  /** Of `list`: the fields of an item, what an item is called, and how many there may be. */
  items?: readonly Field[];
  item?: string;
  most?: number;
  /** Can be set when the record is made, and not changed afterwards. */
  onlyNew?: boolean;
  help?: string;
  min?: number;
  max?: number;
  /** Most characters. */
  length?: number;
  /** What a new record starts with. */
  start?: string;
}

export type Value = string | boolean | readonly string[] | readonly Values[];
/** What stands in the inputs. */
export type Values = { [name: string]: Value };
/** A record of the node, by its wire names. */
export type Fields = Record<string, unknown>;

export function startValues(fields: readonly Field[], record: Fields | null): Values {
  return Object.fromEntries(fields.map((field) => [field.name, startValue(field, record)]));
}

function startValue({ name, kind, required, choices, start, items = [] }: Field, record: Fields | null): Value {
  const value = record?.[name];
  if (kind === 'flag') return value === true;
  if (kind === 'choices') return Array.isArray(value) ? value.map(String) : [];
  if (kind === 'list') return Array.isArray(value) ? value.map((item) => startValues(items, item)) : [];
  if (value === null || value === undefined) {
    if (start !== undefined && record === null) return start;
    return kind === 'choice' && required ? (choices?.[0]?.value ?? '') : '';
  }
  if (kind === 'moment') return localMinute(String(value));
  if (kind === 'json') return JSON.stringify(value, null, 2);
  return String(value);
}

/** What `datetime-local` takes: the reader's time to the minute. */
function localMinute(moment: string): string {
  const time = new Date(moment);
  if (Number.isNaN(time.getTime())) return '';
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What is wrong before anything is sent, and where: `stops.2.latitude` is in the third item of a list. */
export interface Wrong {
  at: string;
  what: 'required' | 'json' | 'least' | 'most' | 'whole';
  limit?: number;
}

/** The first field that cannot be sent as it stands. */
export function firstWrong(fields: readonly Field[], values: Values, within = ''): Wrong | undefined {
  for (const field of fields) {
    const wrong = wrongIn(field, values[field.name] ?? '', within + field.name);
    if (wrong) return wrong;
  }
  return undefined;
}

function wrongIn({ kind, required, items = [], min, max }: Field, value: Value, at: string): Wrong | undefined {
  if (kind === 'list') {
    for (const [n, item] of (value as readonly Values[]).entries()) {
      const wrong = firstWrong(items, item, `${at}.${n}.`);
      if (wrong) return wrong;
    }
  }
  const text = String(value).trim();
  if (text === '') return required ? { at, what: 'required' } : undefined;
  if (kind === 'json' && !isObject(text)) return { at, what: 'json' };
  if (kind !== 'number' && kind !== 'integer') return undefined;
  const number = Number(text);
  if (min !== undefined && number < min) return { at, what: 'least', limit: min };
  if (max !== undefined && number > max) return { at, what: 'most', limit: max };
  return kind === 'integer' && !Number.isInteger(number) ? { at, what: 'whole' } : undefined;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The body of a request that makes a record: nothing of what was left empty. */
export function newBody(fields: readonly Field[], values: Values): Fields {
  const sent = fields.map((field) => [field.name, sentValue(field, values[field.name]!)] as const);
  return Object.fromEntries(sent.filter(([, value]) => value !== null));
}

/** The body of a request that changes a record: what is not as it was; what was emptied is `null`. */
export function changedBody(fields: readonly Field[], before: Values, values: Values): Fields {
  const changed = fields.filter(({ name, onlyNew }) => !onlyNew && !same(before[name], values[name]));
  return Object.fromEntries(changed.map((field) => [field.name, sentValue(field, values[field.name]!)]));
}

export function same(a: Value | undefined, b: Value | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function sentValue({ kind, items = [] }: Field, value: Value): unknown {
  if (kind === 'list') return (value as readonly Values[]).map((item) => newBody(items, item));
  if (typeof value !== 'string') return value;
  const text = value.trim();
  if (text === '') return null;
  if (kind === 'number' || kind === 'integer') return Number(text);
  if (kind === 'moment') return new Date(text).toISOString();
  if (kind === 'json') return JSON.parse(text);
  return text;
}
