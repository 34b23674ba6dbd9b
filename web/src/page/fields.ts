// Forms as lists of fields: what a field may hold, what it starts with, and what of it is sent.

export interface Choice {
  value: string;
  label: string;
}

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'email' | 'number' | 'choice' | 'choices' | 'moment' | 'flag' | 'long';
  required?: boolean;
  /** Of `choice` and `choices`. */
  choices?: readonly Choice[];
  /** Can be set when the record is made, and not changed afterwards. */
  onlyNew?: boolean;
  help?: string;
  min?: number;
  max?: number;
}

/** What stands in the inputs. */
export type Values = Record<string, string | boolean | readonly string[]>;
/** A record of the node, by its wire names. */
export type Fields = Record<string, unknown>;

export function startValues(fields: readonly Field[], record: Fields): Values {
  return Object.fromEntries(fields.map((field) => [field.name, startValue(field, record[field.name])]));
}

function startValue({ kind, required, choices }: Field, value: unknown): Values[string] {
  if (kind === 'flag') return value === true;
  if (kind === 'choices') return Array.isArray(value) ? value.map(String) : [];
  if (value === null || value === undefined) return kind === 'choice' && required ? (choices?.[0]?.value ?? '') : '';
  if (kind === 'moment') return localMinute(String(value));
  return String(value);
}

/** What `datetime-local` takes: the reader's time to the minute. */
function localMinute(moment: string): string {
  const time = new Date(moment);
  if (Number.isNaN(time.getTime())) return '';
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The first required field that is empty. */
export function missing(fields: readonly Field[], values: Values): Field | undefined {
  return fields.find(({ name, required }) => required && (values[name] === '' || String(values[name]).trim() === ''));
}

/** The body of a request that makes a record: nothing of what was left empty. */
export function newBody(fields: readonly Field[], values: Values): Fields {
  const sent = fields.map((field) => [field.name, sentValue(field, values[field.name]!)] as const);
  return Object.fromEntries(sent.filter(([, value]) => value !== null));
}

/** The body of a request that changes a record: what is not as it was; what was emptied is `null`. */
export function changedBody(fields: readonly Field[], before: Values, values: Values): Fields {
  const changed = fields.filter(({ name, onlyNew }) => !onlyNew && String(before[name]) !== String(values[name]));
  return Object.fromEntries(changed.map((field) => [field.name, sentValue(field, values[field.name]!)]));
}

function sentValue({ kind }: Field, value: Values[string]): unknown {
  if (typeof value !== 'string') return value;
  const text = value.trim();
  if (text === '') return null;
  if (kind === 'number') return Number(text);
  if (kind === 'moment') return new Date(text).toISOString();
  return text;
}
