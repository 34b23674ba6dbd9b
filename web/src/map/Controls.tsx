// Zoom and "show all", as one small column on the map; and the frame counter of `?fps=1`.

import { IconButton, Paper, Tooltip } from '@mui/material';
import type { ReactNode } from 'react';
import { FitIcon, MinusIcon, PlusIcon } from '../icons';
import { useSlice } from '../live/slice';
import { strings } from '../strings';
import type { FleetMap } from './fleetMap';

export function Controls({ map }: { map: FleetMap }) {
  const words = strings.controls;
  return (
    <Paper className="card" sx={{ display: 'flex', flexDirection: 'column', p: '3px', borderRadius: '12px' }}>
      <Control label={words.zoomIn} onClick={() => map.zoomBy(1)}>
        <PlusIcon />
      </Control>
      <Control label={words.zoomOut} onClick={() => map.zoomBy(-1)}>
        <MinusIcon />
      </Control>
      <Control label={words.fit} onClick={() => map.fit()}>
        <FitIcon />
      </Control>
    </Paper>
  );
}

function Control({ label, onClick, children }: { label: string; onClick: () => void; children: ReactNode }) {
  return (
    <Tooltip title={label} placement="left">
      <IconButton aria-label={label} onClick={onClick} sx={{ borderRadius: '9px', color: 'text.primary', p: '7px' }}>
        {children}
      </IconButton>
    </Tooltip>
  );
}

export function FrameCounter({ map }: { map: FleetMap }) {
  const { fps, ms } = useSlice(map.frames);
  return (
    <output className="card numbers" data-testid="fps" style={{ padding: '4px 9px', borderRadius: 9, fontSize: 12 }}>
      {fps.toFixed(1)} frames/s · {ms.toFixed(2)} ms
    </output>
  );
}
