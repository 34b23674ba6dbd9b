// Who did what to what, newest first, and whether the record of it is whole.

import { Button, TextField } from '@mui/material';
import { useCallback, useState } from 'react';
import { address, type Listed, read, readList } from '../api/client';
import type { AuditEntry, AuditVerdict, Me } from '../api/types';
import { localTime, whole } from '../format';
import { Nothing, Table } from '../page/Table';
import { Trouble } from '../page/Trouble';
import { useAnswer, useChange } from '../page/useAnswer';
import { strings } from '../strings';
import { Head } from './Head';
import { usePaused, useUserNames } from './useList';

const words = strings.admin.audit;
const PAGE_ROWS = 50;
const FILTERS = ['actor', 'action', 'subject'] as const;
const NO_FILTER = { actor: '', action: '', subject: '', since: '', until: '' };
type Filter = typeof NO_FILTER;

export function Audit({ me }: { me: Me }) {
  const [filter, setFilter] = useState(NO_FILTER);
  return (
    <>
      <Head title={strings.admin.sections.audit} />
      <Verify />
      <div className="filters">
        {FILTERS.map((name) => (
          <TextField
            key={name}
            size="small"
            label={words[name]}
            value={filter[name]}
            helperText={words.example(words.examples[name])}
            slotProps={{ htmlInput: { spellCheck: false } }}
            onChange={(event) => setFilter({ ...filter, [name]: event.target.value })}
          />
        ))}
        {(['since', 'until'] as const).map((name) => (
          <TextField
            key={name}
            size="small"
            type="datetime-local"
            label={words[name]}
            value={filter[name]}
            slotProps={{ inputLabel: { shrink: true } }}
            onChange={(event) => setFilter({ ...filter, [name]: event.target.value })}
          />
        ))}
      </div>
      <Entries me={me} filter={filter} />
    </>
  );
}

function Entries({ me, filter }: { me: Me; filter: Filter }) {
  const users = useUserNames(me);
  const asked = usePaused(filterAddress(filter, null));
  const ask = useCallback((signal: AbortSignal) => readList<AuditEntry>(asked, signal), [asked]);
  const answered = useAnswer(ask);
  const [older, setOlder] = useState<{ first: Listed<AuditEntry>; more: Listed<AuditEntry> } | null>(null);
  const { busy, problem, run } = useChange();
  const { data } = answered;
  const shown = data && older?.first === data ? joined(data, older.more) : data;
  const next = shown?.next ?? null;
  const goOn = () =>
    run(async () => {
      const page = await readList<AuditEntry>(filterAddress(filter, next));
      setOlder({ first: data!, more: older?.first === data ? joined(older.more, page) : page });
    });
  return (
    <>
      <Table
        label={strings.admin.sections.audit}
        answered={{ ...answered, data: shown }}
        idOf={({ seq }) => String(seq)}
        nameOf={({ seq }) => String(seq)}
        columns={[
          {
            label: words.time,
            cell: ({ time_ms }) => <span className="numbers">{localTime(new Date(time_ms).toISOString())}</span>,
          },
          { label: words.actor, cell: ({ actor }) => <Named id={actor} users={users} /> },
          { label: words.action, cell: (row) => <Action row={row} /> },
          { label: words.subject, cell: ({ subject }) => <Named id={subject} users={users} /> },
          { label: words.from, cell: ({ address }) => address || strings.page.none },
          { label: words.outcome, cell: ({ outcome }) => <Outcome outcome={outcome} /> },
        ]}
        empty={<Nothing text={words.empty} />}
      />
      {problem && <Trouble problem={problem} />}
      {next && (
        <Button variant="outlined" size="small" disabled={busy} onClick={goOn} sx={{ mt: '12px' }}>
          {words.older}
        </Button>
      )}
    </>
  );
}

/** A user by his name over his id, which is what entries are found by; everything else as it is. */
function Named({ id, users }: { id: string; users: ReadonlyMap<string, string> }) {
  const [kind, user = ''] = id.split('/');
  const name = kind === 'user' || kind === 'users' ? users.get(user) : undefined;
  if (!name) return id;
  return (
    <>
      {name}
      <small className="quiet">{id}</small>
    </>
  );
}

function joined(first: Listed<AuditEntry>, more: Listed<AuditEntry>): Listed<AuditEntry> {
  return { ...more, rows: [...first.rows, ...more.rows] };
}

function filterAddress({ since, until, ...rest }: Filter, cursor: number | null): string {
  const moment = (local: string) => (local === '' ? null : new Date(local).toISOString());
  return address('audit', { ...rest, since: moment(since), until: moment(until), limit: PAGE_ROWS, cursor });
}

function Outcome({ outcome }: { outcome: AuditEntry['outcome'] }) {
  return (
    <span className="tag" data-state={outcome === 'ok' ? 'active' : 'disabled'}>
      {words.outcomes[outcome as keyof typeof words.outcomes] ?? outcome}
    </span>
  );
}

/** What was done; what it changed unfolds. */
function Action({ row: { action, before, after } }: { row: AuditEntry }) {
  if (!before && !after) return <code>{action}</code>;
  return (
    <details>
      <summary aria-label={`${action}, ${words.details}`}>
        <code>{action}</code>
      </summary>
      {before !== null && before !== undefined && <Change label={words.before} value={before} />}
      {after !== null && after !== undefined && <Change label={words.after} value={after} />}
    </details>
  );
}

function Change({ label, value }: { label: string; value: unknown }) {
  return (
    <>
      <small className="quiet">{label}</small>
      <pre className="command">{JSON.stringify(value, null, 2)}</pre>
    </>
  );
}

function Verify() {
  const [verdict, setVerdict] = useState<AuditVerdict | null>(null);
  const { busy, problem, run } = useChange();
  const verify = () => run(async () => setVerdict(await read<AuditVerdict>('audit/verify')));
  return (
    <div className="verify">
      <Button variant="outlined" size="small" disabled={busy} onClick={verify}>
        {busy ? words.verifying : words.verify}
      </Button>
      {problem && <Trouble problem={problem} />}
      {verdict?.sound && (
        <span role="status" className="good">
          {words.sound(whole(verdict.entries))}
        </span>
      )}
      {verdict && !verdict.sound && (
        <Trouble>
          <strong>{words.broken}</strong> {verdict.fault?.message}
        </Trouble>
      )}
    </div>
  );
}
