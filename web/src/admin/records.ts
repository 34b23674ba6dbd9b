// The records of the fleet as lists of fields: what tables show and what forms ask. Names are those of the wire.

import type { Choice, Field } from '../page/fields';

export type RecordSection = 'fleets' | 'vehicles' | 'drivers' | 'customers' | 'deliveries';

export interface RecordKind {
  section: RecordSection;
  /** Wire names that the table shows, `id` before them. */
  columns: readonly string[];
  /** What the record is called by. */
  name: string;
  fields: readonly Field[];
  /** Belongs to a fleet. */
  inFleet: boolean;
  /** Statuses that records are listed by. */
  statuses: readonly string[];
}

const DELIVERY_STATUSES = [
  'created',
  'assigned',
  'picked_up',
  'out_for_delivery',
  'arrived',
  'delivered',
  'failed',
  'returned',
  'cancelled',
] as const;
const VEHICLE_CLASSES = ['car', 'van', 'truck', 'bus', 'motorcycle', 'scooter', 'bicycle', 'trailer', 'other'];
const VEHICLE_STATUSES = ['active', 'idle', 'maintenance', 'retired'];
const DRIVER_STATUSES = ['active', 'off_duty', 'suspended', 'left'];
const FLEET_STATUSES = ['active', 'closed'];
const CUSTOMER_STATUSES = ['active', 'blocked'];

/** The id, where the reports of an asset must find it. */
const REPORTED_ID: Field = {
  name: 'id',
  label: 'Id',
  kind: 'text',
  onlyNew: true,
  help: 'The id that its reports carry. Empty: one is made.',
};
const FLEET: Field = { name: 'fleet_id', label: 'Fleet', kind: 'text' };

function status(words: readonly string[]): Field {
  return { name: 'status', label: 'Status', kind: 'choice', required: true, choices: choicesOf(words) };
}

export const RECORDS: Record<RecordSection, RecordKind> = {
  fleets: {
    section: 'fleets',
    columns: ['name', 'region', 'status'],
    name: 'name',
    inFleet: false,
    statuses: FLEET_STATUSES,
    fields: [
      { name: 'id', label: 'Id', kind: 'text', onlyNew: true, help: 'Empty: one is made.' },
      { name: 'name', label: 'Name', kind: 'text', required: true },
      { name: 'region', label: 'Region', kind: 'text' },
      status(FLEET_STATUSES),
    ],
  },
  vehicles: {
    section: 'vehicles',
    columns: ['registration_number', 'class', 'model', 'fleet_id', 'status'],
    name: 'registration_number',
    inFleet: true,
    statuses: VEHICLE_STATUSES,
    fields: [
      REPORTED_ID,
      { name: 'registration_number', label: 'Registration', kind: 'text', required: true },
      { name: 'class', label: 'Class', kind: 'choice', choices: choicesOf(VEHICLE_CLASSES) },
      { name: 'make', label: 'Make', kind: 'text' },
      { name: 'model', label: 'Model', kind: 'text' },
      FLEET,
      status(VEHICLE_STATUSES),
      { name: 'depot_id', label: 'Depot', kind: 'text', help: 'Id of the depot.' },
      { name: 'capacity_kg', label: 'Capacity (kg)', kind: 'number', min: 0 },
      { name: 'max_speed_kmh', label: 'Top speed (km/h)', kind: 'number', min: 1, max: 500 },
      { name: 'odometer_km', label: 'Odometer (km)', kind: 'number', min: 0 },
      { name: 'vin', label: 'VIN', kind: 'text' },
    ],
  },
  drivers: {
    section: 'drivers',
    columns: ['name', 'phone', 'vehicle_id', 'fleet_id', 'status'],
    name: 'name',
    inFleet: true,
    statuses: DRIVER_STATUSES,
    fields: [
      REPORTED_ID,
      { name: 'name', label: 'Name', kind: 'text', required: true },
      { name: 'phone', label: 'Phone', kind: 'text' },
      { name: 'email', label: 'E-mail', kind: 'email' },
      { name: 'license_number', label: 'Driving licence', kind: 'text' },
      FLEET,
      status(DRIVER_STATUSES),
      { name: 'rating', label: 'Rating', kind: 'number', min: 0, max: 5 },
    ],
  },
  customers: {
    section: 'customers',
    columns: ['name', 'email', 'phone', 'fleet_id', 'status'],
    name: 'name',
    inFleet: true,
    statuses: CUSTOMER_STATUSES,
    fields: [
      { name: 'name', label: 'Name', kind: 'text', required: true },
      { name: 'email', label: 'E-mail', kind: 'email' },
      { name: 'phone', label: 'Phone', kind: 'text' },
      { name: 'address', label: 'Address', kind: 'long' },
      FLEET,
      status(CUSTOMER_STATUSES),
    ],
  },
  deliveries: {
    section: 'deliveries',
    columns: ['order_id', 'tracking_number', 'customer_id', 'driver_id', 'status', 'window_end'],
    name: 'order_id',
    inFleet: true,
    statuses: DELIVERY_STATUSES,
    fields: [
      { name: 'order_id', label: 'Order', kind: 'text', help: "The order's number in the shop." },
      { name: 'customer_id', label: 'Customer', kind: 'text', help: 'Id of the customer.' },
      { name: 'driver_id', label: 'Driver', kind: 'text', help: 'Id of the driver.' },
      { name: 'vehicle_id', label: 'Vehicle', kind: 'text', help: 'Id of the vehicle.' },
      FLEET,
      { name: 'pickup_address', label: 'Fetched at', kind: 'long' },
      { name: 'dropoff_address', label: 'Goes to', kind: 'long' },
      { name: 'instructions', label: 'Instructions', kind: 'long' },
      { name: 'window_start', label: 'Not before', kind: 'moment' },
      { name: 'window_end', label: 'Not after', kind: 'moment' },
      { name: 'weight_kg', label: 'Weight (kg)', kind: 'number', min: 0 },
    ],
  },
};

/** Of the columns that no form has. */
const LABELS: Record<string, string> = { tracking_number: 'Tracking number', vehicle_id: 'Vehicle', status: 'Status' };

export function labelOf(kind: RecordKind, name: string): string {
  return kind.fields.find((field) => field.name === name)?.label ?? LABELS[name] ?? name;
}

/** `out_for_delivery` → "Out for delivery" */
export function wordOf(word: string): string {
  const text = word.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function choicesOf(words: readonly string[]): Choice[] {
  return words.map((value) => ({ value, label: wordOf(value) }));
}

/** The fields of a form, the fleet chosen by name where the fleets are known. */
export function formFields(kind: RecordKind, fleets: readonly Choice[]): Field[] {
  if (fleets.length === 0) return [...kind.fields];
  return kind.fields.map((field) => (field === FLEET ? { ...field, kind: 'choice', choices: fleets } : field));
}
