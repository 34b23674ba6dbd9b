// What can be done with the day that is shown.

import { Button, IconButton } from '@mui/material';
import { history } from '../history';
import type { ShownDay } from '../history/store';
import { FitIcon, PlayIcon } from '../icons';
import { useSlice } from '../live/slice';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';
import { CopyLink } from './CopyLink';

const words = strings.history;

export function DayActions({ shown, map }: { shown: ShownDay; map: FleetMap | null }) {
  const replaying = useSlice(history.replay.on);
  return (
    <div className="actions">
      <Button
        variant={replaying ? 'contained' : 'outlined'}
        aria-pressed={replaying}
        startIcon={<PlayIcon size={17} />}
        onClick={() => (replaying ? history.replay.exit() : history.replay.toggle())}
        disableElevation
      >
        {replaying ? words.replaying : words.replay}
      </Button>
      <CopyLink assetKey={shown.key} />
      {map && (
        <IconButton aria-label={words.showDay} title={words.showDay} onClick={() => map.fitDay()}>
          <FitIcon size={18} />
        </IconButton>
      )}
    </div>
  );
}
