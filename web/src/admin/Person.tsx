// What a person may ask for: everything that is known, as a file, and that it be erased. Before an erasure it is said
// what is lost and what stays.

import { Button, Dialog, DialogActions, DialogContent, DialogTitle, TextField } from '@mui/material';
import { type FormEvent, useState } from 'react';
import { change, read } from '../api/client';
import type { ErasureReport } from '../api/types';
import { saveText } from '../page/copy';
import type { Fields } from '../page/fields';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { strings } from '../strings';
import type { RecordName, Resource } from './definitions';
import { nameOf } from './names';
import { recordPath } from './RecordForm';
import { labelOf } from './shown';

const words = strings.admin.person;

/** On return the browser has the file. */
export async function savePerson(resource: Resource, id: string): Promise<void> {
  const known = await read<Fields>(`${recordPath(resource, id)}/export`);
  saveText(JSON.stringify(known, null, 2), `${resource.one}-${id}.json`);
}

interface Props {
  resource: Resource;
  record: Fields;
  onDone: () => void;
  onClose: () => void;
}

export function EraseDialog({ resource, record, onDone, onClose }: Props) {
  const [typed, setTyped] = useState('');
  const [report, setReport] = useState<ErasureReport | null>(null);
  const { busy, problem, run } = useChange();
  const id = String(record.id);
  const name = nameOf(resource.name, record);
  const erase = (event: FormEvent) => {
    event.preventDefault();
    if (typed.trim() !== id) return;
    void run(async () => {
      setReport(await change<ErasureReport>('POST', `${recordPath(resource, id)}/erase`));
      onDone();
    });
  };
  if (report) return <Erased report={report} onClose={onClose} />;
  const { fields, deliveries, related, remains } = resource.erasure!;
  const title = words.eraseTitle(name);
  return (
    <Dialog open onClose={busy ? undefined : onClose} fullWidth maxWidth="sm" aria-label={title}>
      <form onSubmit={erase}>
        <DialogTitle>{title}</DialogTitle>
        <DialogContent className="form">
          <p>{words.eraseText}</p>
          <section aria-label={words.lost}>
            <h3>{words.lost}</h3>
            <ul>
              <li>{words.lostFields(resource.one, named(fields))}</li>
              {deliveries.length > 0 && <li>{words.lostDeliveries(named(deliveries))}</li>}
              {Object.entries(related).map(([where, emptied]) => (
                <li key={where}>{words.lostRelated(placeOf(where), named(emptied))}</li>
              ))}
              <li>{words.lostReports}</li>
              <li>{words.lostLogin}</li>
            </ul>
          </section>
          <section aria-label={words.stays}>
            <h3>{words.stays}</h3>
            <ul>
              {remains.map((one) => (
                <li key={one}>{one}</li>
              ))}
              <li>{words.staysLog}</li>
            </ul>
          </section>
          <TextField
            size="small"
            label={words.typeId(id)}
            value={typed}
            autoFocus
            slotProps={{ htmlInput: { autoComplete: 'off', spellCheck: false } }}
            onChange={(event) => setTyped(event.target.value)}
          />
          {problem && <Trouble problem={problem} />}
        </DialogContent>
        <DialogActions>
          <Button color="inherit" onClick={onClose} disabled={busy}>
            {strings.page.cancel}
          </Button>
          <Button type="submit" color="error" variant="contained" disabled={busy || typed.trim() !== id}>
            {words.erase}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

/** What the node says became of it. */
function Erased({ report, onClose }: { report: ErasureReport; onClose: () => void }) {
  const { erased, remains } = report;
  const elsewhere = (erased.elsewhere ?? {}) as { remains?: string[] };
  const stays = [...remains, ...(elsewhere.remains ?? [])];
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="sm" aria-label={words.done}>
      <DialogTitle>{words.done}</DialogTitle>
      <DialogContent className="form">
        <p>{words.doneText(named([...erased.fields, ...erased.deliveries]))}</p>
        <section aria-label={words.stays}>
          <h3>{words.stays}</h3>
          <ul>
            {stays.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </section>
      </DialogContent>
      <DialogActions>
        <Button variant="contained" onClick={onClose} autoFocus>
          {strings.page.done}
        </Button>
      </DialogActions>
    </Dialog>
  );
}

/** `routes.stops` → "Routes (stops)" */
function placeOf(where: string): string {
  const [resource = '', part] = where.split('.');
  const many = strings.admin.sections[resource as RecordName] ?? resource;
  return part ? `${many} (${part})` : many;
}

function named(fields: readonly string[]): string {
  return [...new Set(fields)].map(labelOf).join(', ');
}
