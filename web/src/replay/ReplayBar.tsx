// The controls of a replay: where in the day, on and back, how fast, what is known of the moment.

import { IconButton, Tooltip } from '@mui/material';
import type { ReactNode } from 'react';
import { clock, heading, shortClock, speed } from '../format';
import { history } from '../history';
import { RATES } from '../history/playback';
import type { ShownDay } from '../history/store';
import type { Moment } from '../history/track';
import { CloseIcon, FollowIcon, NextIcon, PauseIcon, PlayIcon, PreviousIcon } from '../icons';
import { useSlice } from '../live/slice';
import { strings } from '../strings';
import { useReplayKeys } from './keys';
import { Scrubber } from './Scrubber';

const words = strings.replay;
const { replay } = history;

export function ReplayBar() {
  const view = useSlice(history.view);
  const moment = useSlice(replay.shown);
  if (view.phase !== 'ready' || !moment) return null;
  return <Bar shown={view.shown} moment={moment} />;
}

function Bar({ shown, moment }: { shown: ShownDay; moment: Moment }) {
  const playing = useSlice(replay.playing);
  const following = useSlice(replay.following);
  useReplayKeys();
  return (
    <section className="replay-bar" aria-label={words.bar} data-testid="replay-bar">
      <Scrubber shown={shown} time={moment.time} onTime={(time) => replay.seek(time)} />
      <div className="buttons">
        <Press label={words.previous} keys="ArrowLeft" onClick={() => replay.step(-1)}>
          <PreviousIcon />
        </Press>
        <Press label={playing ? words.pause : words.play} keys="Space" onClick={() => replay.toggle()} strong>
          {playing ? <PauseIcon /> : <PlayIcon />}
        </Press>
        <Press label={words.next} keys="ArrowRight" onClick={() => replay.step(1)}>
          <NextIcon />
        </Press>
      </div>
      <Readout moment={moment} />
      <Rates />
      <div className="buttons last">
        <Press label={words.follow} pressed={following} onClick={() => replay.following.set(!following)}>
          <FollowIcon size={18} />
        </Press>
        <Press label={words.exit} keys="Escape" onClick={() => replay.exit()}>
          <CloseIcon size={18} />
        </Press>
      </div>
      <span className="unseen" aria-live="polite">
        {playing ? '' : `${clock(moment.time)}, ${factsOf(moment)}`}
      </span>
    </section>
  );
}

interface PressProps {
  label: string;
  keys?: string;
  pressed?: boolean;
  strong?: boolean;
  onClick: () => void;
  children: ReactNode;
}

function Press({ label, keys, pressed, strong, onClick, children }: PressProps) {
  return (
    <Tooltip title={label}>
      <IconButton
        aria-label={label}
        aria-keyshortcuts={keys}
        aria-pressed={pressed}
        className={strong ? 'strong' : undefined}
        color={pressed ? 'primary' : 'default'}
        onClick={onClick}
      >
        {children}
      </IconButton>
    </Tooltip>
  );
}

function Readout({ moment }: { moment: Moment }) {
  return (
    <p className="readout numbers" data-testid="moment" data-time={moment.time} data-gap={moment.gap !== null}>
      <strong>{clock(moment.time)}</strong>
      <span className={moment.gap ? 'none' : 'quiet'}>{factsOf(moment)}</span>
    </p>
  );
}

function factsOf({ gap, speed: kmh, heading: degrees }: Moment): string {
  if (gap) return words.noReports(shortClock(gap.start), shortClock(gap.end));
  const facts = [kmh === null ? words.noSpeed : speed(kmh)];
  if (degrees !== null) facts.push(heading(degrees));
  return facts.join(' · ');
}

function Rates() {
  const rate = useSlice(replay.rate);
  return (
    <fieldset className="rates numbers" aria-label={words.rates}>
      {RATES.map((each) => (
        <button
          key={each}
          type="button"
          aria-pressed={each === rate}
          aria-label={words.rateLabel(each)}
          onClick={() => replay.rate.set(each)}
        >
          {words.rate(each)}
        </button>
      ))}
    </fieldset>
  );
}
