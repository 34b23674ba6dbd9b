// Before the first report: what to do to see something.

import { Button } from '@mui/material';
import { useState } from 'react';
import { info } from '../live';
import { useSlice } from '../live/slice';
import { copyText } from '../page/copy';
import { useMe } from '../session';
import { may, maySee } from '../session/may';
import { pageAddress } from '../session/route';
import { strings } from '../strings';

const words = strings.empty;

export function EmptyFleet() {
  const me = useMe();
  // An asset without a record, as the one of the command is, belongs to no fleet: for who reaches all.
  const maySend = me === null || (may(me, 'reports.write') && me.all_fleets);
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
        {maySend ? words.text : words.others}
      </p>
      {maySend && <FirstReport withKey={me !== null} />}
      {maySend && me && (
        <p className="quiet" style={{ margin: 0, lineHeight: 1.5 }}>
          {words.withKey}{' '}
          {maySee(me, 'keys') && <a href={pageAddress({ name: 'admin', section: 'keys' })}>{words.keys}</a>}
        </p>
      )}
    </div>
  );
}

/** The command that sends a position; a node with logins wants a key with it. */
function FirstReport({ withKey }: { withKey: boolean }) {
  const [said, setSaid] = useState<string | null>(null);
  const demo = useSlice(info)?.demo;
  const [longitude, latitude] = demo?.center ?? [-8.61, 41.15];
  const report = `{"latitude":${latitude},"longitude":${longitude},"speed":32,"heading":90,"timestamp":"'$(date -u +%FT%TZ)'"}`;
  const command = [
    `curl -X POST ${location.origin}/api/v1/vehicles/first/location`,
    ...(withKey ? [`-H "Authorization: Bearer $DROVER_TOKEN"`] : []),
    `-H 'content-type: application/json'`,
    `-d '${report}'`,
  ].join(' \\\n  ');
  const copy = async () => setSaid((await copyText(command)) ? words.copied : strings.page.copyByHand);
  return (
    <>
      <pre className="command">{command}</pre>
      <Button variant="outlined" onClick={copy} sx={{ alignSelf: 'start' }}>
        {said ?? words.copy}
      </Button>
    </>
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
