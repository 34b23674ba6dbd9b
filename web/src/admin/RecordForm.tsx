// A record made or changed in a form. If somebody else was faster, both versions are shown, and nothing is lost.

import { useMemo, useState } from 'react';
import { change, Refused, readMarked } from '../api/client';
import type { Me } from '../api/types';
import { FormDialog } from '../page/Form';
import { changedBody, type Fields, newBody, startValues, type Values } from '../page/fields';
import { may } from '../session/may';
import { strings } from '../strings';
import { Conflict, type Conflicting } from './Conflict';
import type { Resource } from './definitions';
import { idsIn, knowNames, nameOf, remember } from './names';
import { formFields, SHOWN } from './shown';

const words = strings.admin;

/** A record as it was read, and the mark of its version. */
export interface Marked {
  record: Fields;
  mark: string | null;
}

export function recordPath({ name }: Resource, id: unknown): string {
  return `${name}/${encodeURIComponent(String(id))}`;
}

interface Props {
  me: Me;
  resource: Resource;
  /** What is changed; nothing when something is made. */
  marked?: Marked;
  /** What a new record starts with. */
  start?: Fields;
  onDone: (record: Fields) => void;
  onClose: () => void;
}

export function RecordForm({ me, resource, marked, start, onDone, onClose }: Props) {
  const fields = useMemo(() => formFields(resource, (permission) => may(me, permission)), [me, resource]);
  const [conflict, setConflict] = useState<Conflicting | null>(null);
  const { name, one } = resource;
  const sent = SHOWN[name].sent ?? ((body: Fields) => body);

  const done = (record: Fields) => {
    remember(name, record);
    onDone(record);
  };
  const make = async (values: Values) => done(await change<Fields>('POST', name, sent(newBody(fields, values))));
  const patch = async (body: Fields, mark: string | null) =>
    done(await change<Fields>('PATCH', recordPath(resource, marked!.record.id), sent(body), mark));
  const save = async (values: Values, before: Values) => {
    try {
      await patch(changedBody(fields, before, values), marked!.mark);
    } catch (error) {
      if (wasChanged(error)) setConflict({ before, mine: values, ...(await theirs()) });
      throw error;
    }
  };
  const theirs = async () => {
    const { record, mark } = await readMarked<Fields>(recordPath(resource, marked!.record.id));
    await knowNames(idsIn(name, [record]), (permission) => may(me, permission));
    return { theirs: startValues(fields, record), mark };
  };
  const resolve = async (values: Values, { theirs: now, mark }: Conflicting) => {
    try {
      await patch(changedBody(fields, now, values), mark);
    } catch (error) {
      // Changed once more meanwhile: the same question again, about what is there now.
      if (wasChanged(error)) setConflict({ ...conflict!, ...(await theirs()) });
      throw error;
    }
    onClose();
  };
  return (
    <>
      <FormDialog
        title={marked ? words.editTitle(one, nameOf(name, marked.record)) : words.addTitle(one)}
        fields={fields}
        record={marked?.record ?? null}
        start={start ?? null}
        onSend={marked ? save : make}
        onClose={onClose}
      />
      {conflict && (
        <Conflict
          // Another version of theirs is another question.
          key={conflict.mark}
          name={nameOf(name, marked!.record)}
          fields={fields}
          conflict={conflict}
          onResolve={(values) => resolve(values, conflict)}
          onClose={() => setConflict(null)}
        />
      )}
    </>
  );
}

function wasChanged(error: unknown): boolean {
  return error instanceof Refused && error.problem.code === 'changed';
}
