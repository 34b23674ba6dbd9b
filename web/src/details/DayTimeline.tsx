// Trips, stops and gaps of the day in order; each leads there on the map and in the replay.

import { distance, duration, shortClock, speed } from '../format';
import { history } from '../history';
import type { ShownDay } from '../history/store';
import { type Entry, entryAt } from '../history/timeline';
import { useSlice } from '../live/slice';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';

const words = strings.history;

export function DayTimeline({ shown, map }: { shown: ShownDay; map: FleetMap | null }) {
  const moment = useSlice(history.replay.shown);
  const current = moment ? entryAt(shown.timeline, moment.time) : undefined;
  if (shown.timeline.length === 0) return null;
  const go = (entry: Entry) => {
    history.replay.seek(entry.start);
    map?.fitDay(entry.start, entry.end);
  };
  return (
    <>
      <h3 className="heading">{words.timeline}</h3>
      <ol className="timeline numbers" data-testid="timeline">
        {shown.timeline.map((entry) => (
          <li key={`${entry.type} ${entry.start}`}>
            <button
              type="button"
              data-type={entry.type}
              aria-current={entry === current ? 'time' : undefined}
              onClick={() => go(entry)}
            >
              <i />
              <span>
                <strong>{words[entry.type]}</strong> {shortClock(entry.start)} – {shortClock(entry.end)}
              </span>
              <span className="length">{lengthOf(entry)}</span>
              {entry.type === 'trip' && <small className="quiet">{tripFacts(entry)}</small>}
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}

function lengthOf(entry: Entry): string {
  return entry.type === 'trip' ? distance(entry.trip.distance_m) : duration((entry.end - entry.start) / 1000);
}

function tripFacts({ trip }: Extract<Entry, { type: 'trip' }>): string {
  const facts = [duration(trip.duration_s), words.average(speed(trip.avg_speed))];
  if (trip.max_speed !== undefined) facts.push(words.upTo(speed(trip.max_speed)));
  return facts.join(' · ');
}
