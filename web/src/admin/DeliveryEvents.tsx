// Where a delivery can go from here, and what became of it so far.

import { Button } from '@mui/material';
import { useCallback, useState } from 'react';
import { read } from '../api/client';
import type { DeliveryEvent, Me } from '../api/types';
import { localTime } from '../format';
import type { Fields } from '../page/fields';
import { Failed } from '../page/Trouble';
import { useAnswer } from '../page/useAnswer';
import { nextSteps } from '../session/may';
import { strings } from '../strings';
import { Place, Status } from './cells';
import { RESOURCES } from './definitions';
import { recordPath } from './RecordForm';
import { StepDialog } from './StepDialog';
import { wordOf } from './shown';

const words = strings.admin.records;

export function Steps({ me, record, onDone }: { me: Me; record: Fields; onDone: () => void }) {
  const [to, setTo] = useState<string | null>(null);
  const status = String(record.status);
  const next = nextSteps(me, RESOURCES.deliveries, status);
  const isEnd = RESOURCES.deliveries.transitions?.next[status]?.length === 0;
  return (
    <section className="box card steps" aria-label={words.steps}>
      <h3>{words.steps}</h3>
      <p>
        <Status status={status} />
      </p>
      {isEnd && <p className="quiet">{words.stepsEnd}</p>}
      {!isEnd && next.length === 0 && <p className="quiet">{words.stepsNone}</p>}
      <div className="buttons">
        {next.map((step, n) => (
          <Button key={step} variant={n === 0 ? 'contained' : 'outlined'} size="small" onClick={() => setTo(step)}>
            {wordOf(step)}
          </Button>
        ))}
      </div>
      {to && <StepDialog me={me} record={record} to={to} onDone={onDone} onClose={() => setTo(null)} />}
    </section>
  );
}

export function DeliveryEvents({ me, record }: { me: Me; record: Fields }) {
  const path = `${recordPath(RESOURCES.deliveries, record.id)}/events`;
  // Another version has another history.
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when the record was changed
  const ask = useCallback((signal: AbortSignal) => read<DeliveryEvent[]>(path, signal), [path, record.version]);
  const { data, problem, again } = useAnswer(ask);
  return (
    <section className="box card" aria-label={words.events}>
      <h3>{words.events}</h3>
      {problem && <Failed problem={problem} again={again} />}
      {!data && !problem && <p className="quiet">{strings.page.loading}</p>}
      <ol className="events">
        {data?.toReversed().map((event) => (
          <li key={event.id}>
            <strong>{wordOf(event.event_type)}</strong>
            <small className="quiet">
              {localTime(event.time)}
              {event.actor && ` · ${event.actor === me.subject ? words.you : event.actor}`}
            </small>
            <EventData me={me} event={event} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function EventData({ me, event: { latitude, longitude, data } }: { me: Me; event: DeliveryEvent }) {
  const { note, ...rest } = (data ?? {}) as { note?: string };
  return (
    <>
      {typeof latitude === 'number' && typeof longitude === 'number' && (
        <small>
          <Place me={me} {...{ latitude, longitude }} />
        </small>
      )}
      {note && <p className="said">{note}</p>}
      {Object.keys(rest).length > 0 && <pre className="command">{JSON.stringify(rest, null, 2)}</pre>}
    </>
  );
}
