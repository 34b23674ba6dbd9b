// What the node knows of its records: fields, what they may hold, what they refer to, who may read and change them. Read
// from `shared/records.json`, which is made of the served description (a stale file fails a test); no copies by hand.

import schemas from '../../shared/records.json';

export type RecordName = keyof typeof schemas;
export const RECORD_NAMES = Object.keys(schemas) as RecordName[];

export type Kind =
  | 'text'
  | 'id'
  | 'word'
  | 'integer'
  | 'number'
  | 'flag'
  | 'moment'
  | 'date'
  | 'reference'
  | 'object'
  | 'list';

/** One field of a record, or of an item of a list. */
export interface Definition {
  name: string;
  kind: Kind;
  /** A form must fill it. */
  required: boolean;
  /** Drover sets it otherwise. */
  writable: boolean;
  /** Sealed in the table, gone after an erasure. */
  personal: boolean;
  filterable: boolean;
  sortable: boolean;
  words: readonly string[];
  /** What a new record holds where nothing is said. */
  start?: string;
  /** The resource whose ids it holds. */
  references?: RecordName;
  min?: number;
  max?: number;
  /** Most characters. */
  length?: number;
  /** The fields of an item, and how many there may be. */
  items: readonly Definition[];
  most?: number;
}

export interface Resource {
  name: RecordName;
  one: string;
  /** The kind of asset whose ids these are. */
  asset: string | null;
  read: string;
  write: string;
  /** Made and removed, or also changed, only by who reaches all fleets. */
  makeNeedsAll: boolean;
  changeNeedsAll: boolean;
  fields: readonly Definition[];
  sortable: readonly string[];
  /** Of persons: what an erasure takes, and what stays. */
  erasure: Erasure | null;
  /** Of deliveries: the statuses that may follow each. */
  transitions: Transitions | null;
}

export interface Erasure {
  fields: readonly string[];
  deliveries: readonly string[];
  /** Fields that are emptied in other records. */
  related: Readonly<Record<string, readonly string[]>>;
  remains: readonly string[];
}

export interface Transitions {
  next: Readonly<Record<string, readonly string[]>>;
  /** Those that a driver may make. */
  by_driver: readonly string[];
}

/** JSON Schema as the description has it, with its extensions. */
interface Schema {
  type?: string | string[];
  format?: string;
  enum?: (string | null)[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  pattern?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  'x-references'?: string;
  'x-personal'?: boolean;
  'x-fields'?: string[];
  'x-required'?: string[];
  'x-resource'?: Said;
}

interface Said {
  name: string;
  singular: string;
  asset: string | null;
  read: string;
  write: string;
  fields: string[];
  writable: string[];
  required: string[];
  defaults: Record<string, string>;
  filterable: string[];
  sortable: string[];
  make_needs_all_fleets: boolean;
  change_needs_all_fleets: boolean;
  erasure?: Erasure;
  transitions?: Transitions;
}

export const RESOURCES = Object.fromEntries(
  RECORD_NAMES.map((name) => [name, resourceOf(schemas[name] as unknown as Schema)]),
) as Record<RecordName, Resource>;

export function isRecordName(name: string): name is RecordName {
  return Object.hasOwn(schemas, name);
}

/** Fields of other resources that name a record of this one. */
export function referrers(name: RecordName): { resource: Resource; field: string }[] {
  return RECORD_NAMES.flatMap((other) =>
    RESOURCES[other].fields
      .filter(({ references, filterable }) => references === name && filterable)
      .map(({ name: field }) => ({ resource: RESOURCES[other], field })),
  );
}

function resourceOf(schema: Schema): Resource {
  const said = schema['x-resource']!;
  const fields = said.fields.map((name): Definition => {
    const start = said.defaults[name];
    return {
      ...definitionOf(name, schema.properties![name]!),
      ...(start === undefined ? {} : { start }),
      required: said.required.includes(name),
      writable: said.writable.includes(name),
      filterable: said.filterable.includes(name),
      sortable: said.sortable.includes(name),
    };
  });
  return {
    name: said.name as RecordName,
    one: said.singular,
    asset: said.asset,
    read: said.read,
    write: said.write,
    makeNeedsAll: said.make_needs_all_fleets,
    changeNeedsAll: said.change_needs_all_fleets,
    fields,
    sortable: said.sortable,
    erasure: said.erasure ?? null,
    transitions: said.transitions ?? null,
  };
}

function definitionOf(name: string, schema: Schema): Definition {
  const { minimum, maximum, maxLength, maxItems, items } = schema;
  const words = (schema.enum ?? []).filter((word) => word !== null);
  const references = schema['x-references'];
  return {
    name,
    kind: kindOf(schema),
    required: false,
    writable: true,
    personal: schema['x-personal'] === true,
    filterable: false,
    sortable: false,
    words,
    ...(references && isRecordName(references) ? { references } : {}),
    ...(minimum === undefined ? {} : { min: minimum }),
    ...(maximum === undefined ? {} : { max: maximum }),
    ...(maxLength === undefined ? {} : { length: maxLength }),
    ...(maxItems === undefined ? {} : { most: maxItems }),
    items: (schema['x-fields'] ?? []).map((item) => ({
      ...definitionOf(item, items!.properties![item]!),
      required: schema['x-required']?.includes(item) ?? false,
    })),
  };
}

function kindOf(schema: Schema): Kind {
  if (schema['x-references']) return 'reference';
  if (schema.enum) return 'word';
  switch ([schema.type].flat().find((type) => type !== 'null')) {
    case 'integer':
      return 'integer';
    case 'number':
      return 'number';
    case 'boolean':
      return 'flag';
    case 'array':
      return 'list';
    case 'object':
      return 'object';
  }
  if (schema.format === 'date-time') return 'moment';
  if (schema.format === 'date') return 'date';
  return schema.pattern ? 'id' : 'text';
}
