// Before the first report: what to do to see something.

import { Button } from '@mui/material';
import { useState } from 'react';
import { info } from '../live';
import { useSlice } from '../live/slice';
import { strings } from '../strings';

export function EmptyFleet() {
  const [copied, setCopied] = useState(false);
  const demo = useSlice(info)?.demo;
  const [longitude, latitude] = demo?.center ?? [-8.61, 41.15];
  const words = strings.empty;
  const report = `{"latitude":${latitude},"longitude":${longitude},"speed":32,"heading":90,"timestamp":"'$(date -u +%FT%TZ)'"}`;
  const command = `curl -X POST ${location.origin}/api/v1/vehicles/first/location \\
  -H 'content-type: application/json' \\
  -d '${report}'`;
  const copy = async () => {
    await navigator.clipboard?.writeText(command);
    setCopied(true);
  };
  return (
    <div
      style={{
        padding: '8px 20px 20px',
        display: 'flex',
        flexDirection: 'column',
        gap: 12,
        flex: 1,
        overflowY: 'auto',
      }}
      data-testid="empty"
    >
      <Herd />
      <h2 style={{ margin: 0, fontSize: 16 }}>{words.title}</h2>
      <p className="quiet" style={{ margin: 0, lineHeight: 1.5 }}>
        {words.text}
      </p>
      <pre className="command">{command}</pre>
      <Button variant="outlined" onClick={copy} sx={{ alignSelf: 'start' }}>
        {copied ? words.copied : words.copy}
      </Button>
    </div>
  );
}

function Herd() {
  return (
    <svg viewBox="0 0 280 92" width="100%" height="92" style={{ flex: 'none' }} aria-hidden="true">
      <path
        d="M8 74C60 74 62 30 118 30s62 36 104 26"
        fill="none"
        stroke="var(--mui-palette-divider)"
        strokeWidth="3"
        strokeDasharray="2 9"
        strokeLinecap="round"
      />
      {[
        [52, 62],
        [86, 40],
        [132, 31],
      ].map(([x, y], at) => (
        <circle key={x} cx={x} cy={y} r="6" fill="var(--mui-palette-primary-main)" opacity={0.25 + at * 0.2} />
      ))}
      <g transform="translate(232 53) rotate(72)">
        <circle r="24" fill="var(--mui-palette-primary-main)" opacity="0.12" />
        <polygon points="0,-15 11,12 0,7 -11,12" fill="var(--mui-palette-primary-main)" />
      </g>
    </svg>
  );
}
