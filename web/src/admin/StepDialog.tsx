// Moves a delivery on by one step, with what belongs to it: who brings it, a note.

import { change } from '../api/client';
import type { Me } from '../api/types';
import { FormDialog } from '../page/Form';
import { type Field, type Fields, newBody } from '../page/fields';
import { may } from '../session/may';
import { strings } from '../strings';
import { RESOURCES } from './definitions';
import { lookupOf, nameOf } from './names';
import { recordPath } from './RecordForm';
import { labelOf, wordOf } from './shown';

const words = strings.admin.records;
const DELIVERIES = RESOURCES.deliveries;
/** Where it begins again with somebody. */
const NAMES_DRIVER = 'assigned';

interface Props {
  me: Me;
  record: Fields;
  to: string;
  onDone: () => void;
  onClose: () => void;
}

export function StepDialog({ me, record, to, onDone, onClose }: Props) {
  const driver: Field = {
    name: 'driver_id',
    label: labelOf('driver_id'),
    kind: 'lookup',
    required: true,
    lookup: () => lookupOf('drivers'),
  };
  const asksDriver = to === NAMES_DRIVER && may(me, DELIVERIES.write) && may(me, RESOURCES.drivers.read);
  const fields: Field[] = [...(asksDriver ? [driver] : []), { name: 'note', label: labelOf('note'), kind: 'long' }];
  const name = nameOf('deliveries', record);
  const move = async (body: Fields) => {
    const mark = `"${record.version}"`;
    try {
      await change('PUT', `${recordPath(DELIVERIES, record.id)}/status`, { status: to, ...body }, mark);
    } finally {
      // Refused because it was moved meanwhile: then where it is now is shown.
      onDone();
    }
  };
  return (
    <FormDialog
      title={words.moveTitle(name, wordOf(to))}
      fields={fields}
      start={{ driver_id: record.driver_id }}
      submit={words.move}
      onSend={(values) => move(newBody(fields, values))}
      onClose={onClose}
    />
  );
}
