// Where somebody is logged in, and an end to it from here.

import { Button, Skeleton } from '@mui/material';
import { change, read } from '../api/client';
import type { LoginSessions } from '../api/types';
import { localTime } from '../format';
import { Failed, Trouble } from '../page/Trouble';
import { useAnswer, useChange } from '../page/useAnswer';
import { strings } from '../strings';
import { browserName } from './browser';

const words = strings.account;
const askSessions = (signal: AbortSignal) => read<LoginSessions>('auth/sessions', signal);

export function Sessions() {
  const { data, problem, again } = useAnswer(askSessions);
  const { busy, problem: against, run } = useChange();
  if (problem) return <Failed problem={problem} again={again} />;
  if (!data) return <Skeleton variant="rounded" height={44} aria-label={strings.page.loading} />;
  const end = async (id: string) => {
    await run(() => change('DELETE', `auth/sessions/${encodeURIComponent(id)}`));
    again();
  };
  const rows = [...data.sessions].sort((a, b) => Number(b.current) - Number(a.current));
  return (
    <>
      <ul className="sessions">
        {rows.map((one) => (
          <li key={one.id}>
            <span>
              <strong>{one.agent ? browserName(one.agent) : words.unknownBrowser}</strong>{' '}
              <small className="quiet">
                {[one.address, words.sessionSince(localTime(one.created_at)), words.sessionSeen(localTime(one.seen_at))]
                  .filter(Boolean)
                  .join(' · ')}
              </small>
            </span>
            {one.current ? (
              <span className="tag">{words.sessionHere}</span>
            ) : (
              <Button variant="outlined" size="small" disabled={busy} onClick={() => end(one.id)}>
                {words.sessionEnd}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {rows.length < 2 && <p className="quiet">{words.sessionsEmpty}</p>}
      {against && <Trouble problem={against} />}
    </>
  );
}
