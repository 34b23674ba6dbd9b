// Records from a CSV file: first looked through without writing anything, then taken, row by row. What was refused is
// named with its line and its reason, and can be taken away as a file.

import {
  Button,
  Dialog,
  DialogActions,
  DialogContent,
  DialogTitle,
  LinearProgress,
  useMediaQuery,
} from '@mui/material';
import { type ChangeEvent, useRef, useState } from 'react';
import { sendText } from '../api/client';
import type { ImportReport } from '../api/types';
import { whole } from '../format';
import { saveText } from '../page/copy';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { strings } from '../strings';
import type { Resource } from './definitions';

const words = strings.admin.csv;
/** More refused rows than that are in the file only. */
const SHOWN_MAX = 100;
type Outcome = ImportReport['outcomes'][number];

interface Props {
  resource: Resource;
  onDone: () => void;
  onClose: () => void;
}

export function ImportDialog({ resource: { name, fields }, onDone, onClose }: Props) {
  const [file, setFile] = useState<File | null>(null);
  const [report, setReport] = useState<ImportReport | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const { busy, problem, run } = useChange();
  const narrow = useMediaQuery('(max-width: 600px)');
  const title = words.title(strings.admin.sections[name]);

  const send = (file: File, dry: boolean) =>
    run(async () => {
      setReport(null);
      setReport(await sendText<ImportReport>(`${name}/import${dry ? '?dry_run=true' : ''}`, file, 'text/csv'));
      if (!dry) onDone();
    });
  const choose = (event: ChangeEvent<HTMLInputElement>) => {
    const chosen = event.target.files?.[0];
    // The same file again, mended, is another choice.
    event.target.value = '';
    if (!chosen) return;
    setFile(chosen);
    void send(chosen, true);
  };
  const template = () => {
    const columns = ['id', ...fields.filter(({ writable }) => writable).map(({ name }) => name)];
    saveText(`${columns.join(',')}\r\n`, `${name}.csv`);
  };
  const taken = report && report.rows - report.refused - report.unchanged;
  const done = report?.dry_run === false;
  return (
    <Dialog open onClose={busy ? undefined : onClose} fullWidth fullScreen={narrow} maxWidth="md" aria-label={title}>
      <DialogTitle>{title}</DialogTitle>
      <DialogContent className="form">
        {!report && !problem && (
          <>
            <p>{words.text}</p>
            <p className="quiet">{words.rule}</p>
          </>
        )}
        <input
          ref={input}
          type="file"
          accept=".csv,text/csv"
          className="unseen"
          aria-label={words.file}
          tabIndex={-1}
          onChange={choose}
        />
        <div className="buttons">
          <Button variant={file ? 'outlined' : 'contained'} disabled={busy} onClick={() => input.current?.click()}>
            {file ? words.another : words.choose}
          </Button>
          {!file && (
            <Button variant="text" onClick={template}>
              {words.template}
            </Button>
          )}
        </div>
        {file && <p className="said">{file.name}</p>}
        {busy && <LinearProgress aria-label={strings.page.loading} />}
        {problem && <Trouble problem={problem} />}
        {report && <Report report={report} name={name} />}
      </DialogContent>
      <DialogActions>
        <Button color="inherit" onClick={onClose} disabled={busy}>
          {done ? strings.page.close : strings.page.cancel}
        </Button>
        {report && file && !done && (
          <Button variant="contained" disabled={busy || taken === 0} onClick={() => send(file, false)}>
            {words.take(whole(taken ?? 0))}
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}

function Report({ report, name }: { report: ImportReport; name: string }) {
  const refused = report.outcomes.filter(({ outcome }) => outcome === 'refused');
  const counts = (['created', 'updated', 'unchanged', 'refused'] as const).filter((what) => report[what] > 0);
  return (
    <>
      <p role="status">
        <strong>{report.dry_run ? words.would(whole(report.rows)) : words.did(whole(report.rows))}</strong>{' '}
        {counts.map((what) => words[what](whole(report[what]))).join(', ')}
        {counts.length === 0 && words.empty}
      </p>
      {refused.length > 0 && (
        <>
          <div className="buttons">
            <Button
              size="small"
              variant="outlined"
              onClick={() => saveText(refusedFile(refused), `${name}-refused.csv`)}
            >
              {words.refusedFile}
            </Button>
          </div>
          <table className="table" aria-label={words.refusedRows}>
            <thead>
              <tr>
                {[words.row, words.column, words.value, words.reason].map((label) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {refused.slice(0, SHOWN_MAX).map((one) => (
                <tr key={one.row}>
                  <td data-label={words.row}>{one.row}</td>
                  <td data-label={words.column}>
                    <code>{one.field ?? strings.page.none}</code>
                  </td>
                  <td data-label={words.value}>{one.value ?? strings.page.none}</td>
                  <td data-label={words.reason}>{one.message}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {refused.length > SHOWN_MAX && <p className="quiet">{words.more(whole(refused.length - SHOWN_MAX))}</p>}
        </>
      )}
    </>
  );
}

/** A spreadsheet must not take a cell for a formula. */
function refusedFile(refused: readonly Outcome[]): string {
  const cell = (value: unknown) => {
    const text = String(value ?? '');
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const rows = refused.map(({ row, field, value, code, message }) => [row, field, value, code, message]);
  return [['row', 'field', 'value', 'code', 'message'], ...rows]
    .map((row) => `${row.map(cell).join(',')}\r\n`)
    .join('');
}
