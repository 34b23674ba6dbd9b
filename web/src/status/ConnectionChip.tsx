// How true the picture is: connected or not, when the next try comes, when the node was last heard.

import { Tooltip } from '@mui/material';
import { useEffect, useState } from 'react';
import { ago } from '../format';
import { socket } from '../live';
import { useSlice } from '../live/slice';
import { strings } from '../strings';

const words = strings.connection;

export function ConnectionChip() {
  const { phase, retryAt, heardAt } = useSlice(socket.connection);
  const now = useNow(phase !== 'live');
  const text = phase === 'reconnecting' ? words.reconnecting(Math.ceil(((retryAt ?? now) - now) / 1000)) : words[phase];
  const heard = heardAt === null ? words.never : words.heard(ago(now - heardAt));
  return (
    <Tooltip title={phase === 'live' ? heard : `${heard}. ${words.retry}`}>
      <button
        type="button"
        className="connection numbers"
        data-phase={phase}
        data-testid="connection"
        onClick={() => socket.reconnect()}
        aria-label={`${text}. ${heard}`}
      >
        <i />
        {text}
      </button>
    </Tooltip>
  );
}

/** Under the head of the page while the picture stands still. */
export function ConnectionNote() {
  const { phase, heardAt, error } = useSlice(socket.connection);
  const now = useNow(true);
  if (error) {
    return (
      <div className="note" role="alert">
        <strong>{error.message}</strong>
        {error.help ? ` ${error.help}` : ''}
      </div>
    );
  }
  if (phase === 'live' || phase === 'connecting') return null;
  return (
    <div className="note" role="status">
      {heardAt === null ? words.never : `${words.heard(ago(now - heardAt))}. ${words.paused}`}{' '}
      <button type="button" onClick={() => socket.reconnect()}>
        {words.retry}
      </button>
    </div>
  );
}

function useNow(ticking: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!ticking) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [ticking]);
  return ticking ? now : Date.now();
}
