// The day as a line to slide along: what was driven, where it stood, where nothing is known.

import { type CSSProperties, memo } from 'react';
import { clock, shortClock } from '../format';
import type { Span } from '../history/days';
import type { ShownDay } from '../history/store';
import { gapAt, spanOf } from '../history/track';
import { strings } from '../strings';

const words = strings.replay;

interface Props {
  shown: ShownDay;
  time: number;
  onTime: (time: number) => void;
}

export function Scrubber({ shown, time, onTime }: Props) {
  const { start, end } = spanOf(shown.track);
  const gap = gapAt(shown.gaps, time);
  const text = gap ? `${clock(time)}, ${words.noReports(shortClock(gap.start), shortClock(gap.end))}` : clock(time);
  return (
    <div className="scrubber">
      <Shades shown={shown} />
      <input
        type="range"
        aria-label={words.scrubber}
        aria-valuetext={text}
        min={start}
        max={Math.max(end, start + 1)}
        step={1}
        value={Math.round(time)}
        onChange={(event) => onTime(event.currentTarget.valueAsNumber)}
      />
      <small className="quiet numbers">{shortClock(start)}</small>
      <small className="quiet numbers">{shortClock(end)}</small>
    </div>
  );
}

/** Drawn once a day, not once a frame. */
const Shades = memo(function Shades({ shown }: { shown: ShownDay }) {
  const day = spanOf(shown.track);
  return (
    <div className="shades" aria-hidden="true">
      {shown.timeline.map((entry) => (
        <i key={`${entry.type} ${entry.start}`} data-type={entry.type} style={within(entry, day)} />
      ))}
    </div>
  );
});

function within(span: Span, day: Span): CSSProperties {
  const length = Math.max(day.end - day.start, 1);
  const left = Math.max(span.start - day.start, 0) / length;
  const right = Math.min(span.end - day.start, length) / length;
  return { left: `${left * 100}%`, width: `${Math.max(right - left, 0) * 100}%` };
}
