// The day in a few figures.

import { clock, distance, duration, whole } from '../format';
import type { ShownDay } from '../history/store';
import { spanOf } from '../history/track';
import { strings } from '../strings';

const words = strings.history;
const UNKNOWN = '–';

export function DaySummary({ shown: { track, trips, reports } }: { shown: ShownDay }) {
  const { start, end } = spanOf(track);
  const summary = trips?.summary;
  return (
    <div data-testid="summary" data-reports={reports}>
      <div className="figures numbers">
        <Figure label={words.distance} value={summary ? distance(summary.distance_m) : UNKNOWN} />
        <Figure label={words.driving} value={summary ? duration(summary.driving_s) : UNKNOWN} />
        <Figure label={words.stops} value={summary ? whole(summary.stops) : UNKNOWN} />
      </div>
      <dl className="facts numbers" style={{ margin: '10px 0' }}>
        <dt>{words.firstLast}</dt>
        <dd>
          {clock(start)} – {clock(end)}
        </dd>
        <dt>{words.reports}</dt>
        <dd>{whole(reports)}</dd>
      </dl>
    </div>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div className="figure">
      <small className="quiet">{label}</small>
      <strong>{value}</strong>
    </div>
  );
}
