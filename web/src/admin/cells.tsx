// Values of records as people read them.

import type { ReactNode } from 'react';
import type { Me } from '../api/types';
import { localTime } from '../format';
import type { Fields } from '../page/fields';
import { may, maySee } from '../session/may';
import { recordAddress } from '../session/route';
import { strings } from '../strings';
import type { Definition, RecordName } from './definitions';
import { assetResource, isAbsent, knownName } from './names';
import { SHOWN, wordOf } from './shown';

const words = strings.admin.records;
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 7 });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });

export function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
}

/** One value of a record; `wide` where there is room for all of it. */
export function cellOf(me: Me, resource: RecordName, definition: Definition, row: Fields, wide = false): ReactNode {
  const { name, kind, references } = definition;
  const value = row[name];
  if (isEmpty(value)) return <span className="quiet">{strings.page.none}</span>;
  const text = String(value);
  if (references) return <Named me={me} resource={references} id={text} />;
  const asset = SHOWN[resource].assets?.[name];
  const assets = asset && assetResource(String(row[asset]));
  if (assets) return <Named me={me} resource={assets} id={text} />;
  switch (kind) {
    case 'word':
      return name === 'status' ? <Status status={text} /> : wordOf(text);
    case 'flag':
      return value === true ? strings.page.yes : strings.page.no;
    case 'moment':
      return <time dateTime={text}>{localTime(text)}</time>;
    case 'date':
      return <time dateTime={text}>{DAY.format(new Date(text))}</time>;
    case 'integer':
    case 'number':
      return <span className="numbers">{NUMBER.format(Number(value))}</span>;
    case 'list':
      return NUMBER.format((value as unknown[]).length);
    case 'object':
      return <pre className="command">{JSON.stringify(value, null, 2)}</pre>;
    default:
      return wide ? <span className="said">{text}</span> : text;
  }
}

/** A record of somebody else by its name, as a way to it; one out of reach by its id. */
export function Named({ me, resource, id }: { me: Me; resource: RecordName; id: string }) {
  if (!maySee(me, resource) || isAbsent(resource, id)) return id;
  return <a href={recordAddress(resource, id)}>{knownName(resource, id)}</a>;
}

/** A place, as a way to it on the map for who has one. */
export function Place({ me, latitude, longitude }: { me: Me; latitude: number; longitude: number }) {
  const text = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  if (!may(me, 'live.read')) return <span className="numbers">{text}</span>;
  return (
    <a className="numbers" href={`#@${latitude},${longitude},16`}>
      {text}
    </a>
  );
}

export function Status({ status }: { status: string }) {
  return (
    <span className="tag" data-status={status}>
      {wordOf(status)}
    </span>
  );
}

/** Said of a person who was erased, in place of the name. */
export function Erased() {
  return <span className="tag">{words.erased}</span>;
}
