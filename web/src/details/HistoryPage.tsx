// A day of the selected asset: which day, how it went, trips and stops, files. What is drawn of it is in `map/`, what
// runs in `replay/`.

import { Button, Skeleton } from '@mui/material';
import type { ReactNode } from 'react';
import { clock, longDay, metres, whole } from '../format';
import { history } from '../history';
import { nearestDay } from '../history/coverage';
import type { Day } from '../history/days';
import type { DayView, ShownDay } from '../history/store';
import { spanOf } from '../history/track';
import { useSlice } from '../live/slice';
import type { ApiError } from '../live/wire';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';
import { DayActions } from './DayActions';
import { DayBar } from './DayBar';
import { DayFiles } from './DayFiles';
import { DaySummary } from './DaySummary';
import { DayTimeline } from './DayTimeline';
import { SpeedLegend } from './SpeedLegend';

const words = strings.history;

interface Props {
  assetKey: string;
  day: Day;
  map: FleetMap | null;
}

export function HistoryPage({ assetKey, day, map }: Props) {
  const view = useSlice(history.view);
  return (
    <>
      <DayBar assetKey={assetKey} day={day} />
      <div className="rows page" data-testid="history" data-phase={view.phase} aria-busy={view.phase === 'loading'}>
        <Body view={view} assetKey={assetKey} day={day} map={map} />
      </div>
    </>
  );
}

function Body({ view, ...props }: Props & { view: DayView }) {
  switch (view.phase) {
    case 'ready':
      return <Ready shown={view.shown} {...props} />;
    case 'loading':
      return <Loading received={view.received} />;
    case 'empty':
      return <Empty unplaced={view.unplaced} {...props} />;
    case 'error':
      return <Failed problem={view.problem} />;
    case 'closed':
      return null;
  }
}

function Ready({ shown, map }: Props & { shown: ShownDay }) {
  return (
    <>
      <DaySummary shown={shown} />
      <DayActions shown={shown} map={map} />
      <SpeedLegend />
      <Notes shown={shown} />
      <DayTimeline shown={shown} map={map} />
      <DayFiles shown={shown} />
    </>
  );
}

/** What is not as it should be with the day that is shown. */
function Notes({ shown: { track, simplified, cut, trips } }: { shown: ShownDay }) {
  return (
    <>
      {simplified && <Note>{words.simplified(metres(simplified.tolerance), whole(simplified.from))}</Note>}
      {cut && <Note>{words.cut(clock(spanOf(track).end))}</Note>}
      {!trips && (
        <Note>
          {words.noTrips}{' '}
          <button type="button" onClick={() => history.retry()}>
            {words.retry}
          </button>
        </Note>
      )}
    </>
  );
}

function Note({ children }: { children: ReactNode }) {
  return (
    <div className="note" role="status" style={{ margin: '0 0 10px' }}>
      {children}
    </div>
  );
}

/** As high as the head of a day that is here, so that nothing jumps. */
function Loading({ received }: { received: number }) {
  return (
    <>
      <div className="figures">
        {['distance', 'driving', 'stops'].map((name) => (
          <Skeleton key={name} variant="rounded" height={51} sx={{ borderRadius: '10px' }} />
        ))}
      </div>
      <p className="quiet numbers" role="status" style={{ margin: '10px 0', height: 19 }}>
        {received > 0 ? words.loadingMore(whole(received)) : words.loading}
      </p>
      <Skeleton variant="rounded" height={36} width="60%" sx={{ mb: '12px' }} />
      {[0, 1, 2].map((row) => (
        <Skeleton key={row} variant="rounded" height={40} sx={{ mb: '8px' }} />
      ))}
    </>
  );
}

function Empty({ assetKey, day, unplaced }: Props & { unplaced: number }) {
  const days = useSlice(history.days);
  const near = days && nearestDay(days, day);
  return (
    <div data-testid="empty-day" className="blank">
      <p role="status">{emptyText(day, unplaced, days)}</p>
      {near && unplaced === 0 && (
        <p className="quiet">
          {near < day ? words.lastReport(longDay(near)) : words.nextReport(longDay(near))}{' '}
          <button type="button" className="link" onClick={() => history.open(assetKey, near)}>
            {words.goThere}
          </button>
        </p>
      )}
    </div>
  );
}

function emptyText(day: Day, unplaced: number, days: readonly Day[] | null): string {
  if (unplaced > 0) return words.unplaced(whole(unplaced));
  return days?.length === 0 ? words.nothing : words.empty(longDay(day));
}

function Failed({ problem }: { problem: ApiError }) {
  return (
    <div className="blank" role="alert" data-testid="failed-day">
      <p>
        <strong>{words.failed}</strong>
      </p>
      <p className="quiet">{problem.message}</p>
      {problem.help && <p className="quiet">{problem.help}</p>}
      <Button variant="outlined" size="small" onClick={() => history.retry()}>
        {words.retry}
      </Button>
    </div>
  );
}
