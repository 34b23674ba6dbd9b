// How records are shown: what they are called by, which columns a list has, how forms ask. One table; what a record may
// hold comes from the definitions, and a field that is not mentioned here is shown too, under its own name.

import type { Choice, Field, Fields } from '../page/fields';
import { strings } from '../strings';
import { type Definition, RESOURCES, type RecordName, type Resource } from './definitions';
import { assetLookup, knownName, lookupOf } from './names';

const words = strings.admin.records;

interface Shown {
  /** What a record is called by: the first of these fields that holds something; ids of others are named. */
  name: readonly string[];
  /** What tells records of one name apart. */
  hint?: string;
  columns: readonly string[];
  /** How a list is sorted at first. */
  sort?: string;
  /** Long texts. */
  long?: readonly string[];
  /** Where a picked record says what other fields hold: by the names of its own. */
  fills?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Fields that hold the id of an asset, and the field that says of which kind. */
  assets?: Readonly<Record<string, string>>;
  /** Fields that a form does not ask for: they follow from something else. */
  unasked?: readonly string[];
  /** Fields of items that a form asks for before the others. */
  first?: readonly string[];
  /** The last touch to what is sent. */
  sent?: (body: Fields) => Fields;
}

export const SHOWN: Record<RecordName, Shown> = {
  organisations: { name: ['name'], columns: ['created_at'] },
  fleets: { name: ['name'], columns: ['organisation_id', 'region', 'status'] },
  depots: { name: ['name'], hint: 'region', columns: ['address', 'region', 'fleet_id', 'status'], long: ['address'] },
  vehicles: {
    name: ['registration_number'],
    hint: 'model',
    columns: ['class', 'model', 'fleet_id', 'status'],
  },
  drivers: { name: ['name'], hint: 'phone', columns: ['phone', 'vehicle_id', 'fleet_id', 'status'] },
  assignments: {
    name: ['driver_id'],
    columns: ['vehicle_id', 'starts_at', 'ends_at'],
    sort: '-starts_at',
    long: ['note'],
  },
  stations: { name: ['name'], hint: 'region', columns: ['region', 'capacity', 'fleet_id', 'status'] },
  customers: { name: ['name'], hint: 'email', columns: ['email', 'phone', 'fleet_id', 'status'], long: ['address'] },
  routes: {
    name: ['name', 'date'],
    hint: 'date',
    columns: ['date', 'vehicle_id', 'driver_id', 'stops', 'status'],
    sort: '-date',
    fills: {
      delivery_id: { latitude: 'dropoff_latitude', longitude: 'dropoff_longitude', name: 'order_id' },
      station_id: { latitude: 'latitude', longitude: 'longitude', name: 'name' },
    },
    first: ['station_id', 'delivery_id', 'name', 'kind'],
    unasked: ['sequence'],
    sent: numbered,
  },
  deliveries: {
    name: ['order_id', 'tracking_number'],
    hint: 'status',
    columns: ['customer_id', 'driver_id', 'status', 'window_end'],
    sort: '-created_at',
    long: ['pickup_address', 'dropoff_address', 'instructions'],
  },
  maintenance: {
    name: ['vehicle_id'],
    columns: ['kind', 'date', 'odometer_km', 'cost'],
    sort: '-date',
    long: ['note'],
  },
  devices: {
    name: ['name', 'serial'],
    hint: 'model',
    columns: ['asset_id', 'model', 'serial', 'fleet_id', 'status'],
    assets: { asset_id: 'asset_kind' },
  },
};

/** Stops stand in the order in which they are driven. */
function numbered(body: Fields): Fields {
  if (!Array.isArray(body.stops)) return body;
  return { ...body, stops: body.stops.map((stop: Fields, n) => ({ ...stop, sequence: n + 1 })) };
}

/** `out_for_delivery` → "Out for delivery" */
export function wordOf(word: string): string {
  const text = word.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function choicesOf(words: readonly string[]): Choice[] {
  return words.map((value) => ({ value, label: wordOf(value) }));
}

const UNITS: [end: string, unit: string][] = [
  ['_kmh', 'km/h'],
  ['_kg', 'kg'],
  ['_km', 'km'],
  ['_min', 'min'],
];

/** `capacity_kg` → "Capacity (kg)", `depot_id` → "Depot" */
export function labelOf(name: string): string {
  const own = words.labels[name as keyof typeof words.labels];
  if (own) return own;
  const [end, unit] = UNITS.find(([end]) => name.endsWith(end)) ?? [];
  const bare = wordOf(name.slice(0, name.length - (end?.length ?? 0)).replace(/_id$/, ''));
  return unit ? `${bare} (${unit})` : bare;
}

/** The fields of a form: what may be written, as the definitions have it. */
export function formFields(resource: Resource, may: (permission: string) => boolean): Field[] {
  const id: Field = {
    name: 'id',
    label: strings.admin.id,
    kind: 'text',
    onlyNew: true,
    help: resource.asset ? words.reportedId : words.madeId,
  };
  return [id, ...fieldsOf(resource.fields, SHOWN[resource.name], may)];
}

function fieldsOf(definitions: readonly Definition[], shown: Shown, may: (permission: string) => boolean): Field[] {
  return definitions
    .filter(({ name, writable }) => writable && !shown.unasked?.includes(name))
    .map((definition) => fieldOf(definition, shown, may));
}

function firstOf(fields: Field[], names: readonly string[]): Field[] {
  const first = names.flatMap((name) => fields.find((field) => field.name === name) ?? []);
  return [...first, ...fields.filter((field) => !first.includes(field))];
}

function fieldOf(definition: Definition, shown: Shown, may: (permission: string) => boolean): Field {
  const { name, words: known, required, start, min, max, length, most, items, references } = definition;
  const fills = references && shown.fills?.[name];
  return {
    name,
    label: labelOf(name),
    kind: kindOf(definition, shown, may),
    required,
    ...(known.length ? { choices: choicesOf(known) } : {}),
    ...(start === undefined ? {} : { start }),
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(length === undefined ? {} : { length }),
    ...(most === undefined ? {} : { most }),
    ...(references ? { lookup: () => lookupOf(references), named: (id: string) => knownName(references, id) } : {}),
    ...(shown.assets?.[name] ? { lookup: (values) => assetLookup(String(values[shown.assets![name]!]), may) } : {}),
    ...(fills ? { fills: async (id) => renamed(await lookupOf(references).record(id), fills) } : {}),
    ...(items.length
      ? { items: firstOf(fieldsOf(items, shown, may), shown.first ?? []), item: singular(labelOf(name)) }
      : {}),
  };
}

function kindOf(definition: Definition, shown: Shown, may: (permission: string) => boolean): Field['kind'] {
  const { kind, name, references } = definition;
  switch (kind) {
    case 'word':
      return 'choice';
    case 'object':
      return 'json';
    case 'id':
      return shown.assets?.[name] ? 'lookup' : 'text';
    case 'reference':
      return references && may(RESOURCES[references].read) ? 'lookup' : 'text';
    case 'text':
      if (name === 'email') return 'email';
      return shown.long?.includes(name) ? 'long' : 'text';
    default:
      return kind;
  }
}

/** `Stops` → "stop" */
function singular(label: string): string {
  return label.toLowerCase().replace(/s$/, '');
}

function renamed(record: Fields | null, names: Readonly<Record<string, string>>): Fields {
  return Object.fromEntries(Object.entries(names).map(([name, from]) => [name, record?.[from]]));
}
