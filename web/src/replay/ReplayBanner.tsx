// Says that the map shows the past, and which moment of it. Changes many times a second, so it is not read aloud; the
// bar says the time when it stands still.

import { clock, longDay } from '../format';
import { history } from '../history';
import { useSlice } from '../live/slice';
import { strings } from '../strings';

const words = strings.replay;

export function ReplayBanner() {
  const moment = useSlice(history.replay.shown);
  const day = useSlice(history.day);
  if (!moment || day === null) return null;
  return (
    <div className="replay-banner numbers" role="timer" aria-live="off" data-testid="replay-banner">
      <strong>{words.banner(longDay(day), clock(moment.time))}</strong>
      <small>{words.present}</small>
    </div>
  );
}
