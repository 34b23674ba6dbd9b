// The selected asset as it is now: everything the node says of it, and what can be done with it.

import { Button, IconButton } from '@mui/material';
import { heading, localTime, metres, place, reading, speed, whole } from '../format';
import { FitIcon, FollowIcon } from '../icons';
import { store } from '../live';
import { type Slice, useSlice } from '../live/slice';
import type { Asset } from '../live/wire';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';
import { CopyLink } from './CopyLink';

const words = strings.details;

export function Present({ asset, assetKey, map }: { asset: Asset; assetKey: string; map: FleetMap | null }) {
  const index = store.find(assetKey)!;
  return (
    <>
      <Actions assetKey={assetKey} index={index} map={map} placed={asset.latitude !== undefined} />
      <div className="rows" style={{ padding: '2px 16px 16px' }}>
        <Figures asset={asset} />
        <Facts facts={factsOf(asset)} />
        {asset.readings && Object.keys(asset.readings).length > 0 && (
          <>
            <h3 style={{ margin: '16px 0 8px', fontSize: 13 }}>{words.readings}</h3>
            <Facts facts={Object.entries(asset.readings).map(([name, value]) => reading(name, value))} />
          </>
        )}
        {map && asset.latitude !== undefined && <Trail points={map.trailPoints} />}
      </div>
    </>
  );
}

interface ActionsProps {
  assetKey: string;
  index: number;
  map: FleetMap | null;
  placed: boolean;
}

function Actions({ assetKey, index, map, placed }: ActionsProps) {
  const following = useSlice(store.following);
  return (
    <div style={{ display: 'flex', gap: 8, padding: '0 16px 12px', flexWrap: 'wrap' }}>
      {placed && (
        <Button
          variant={following ? 'contained' : 'outlined'}
          aria-pressed={following}
          aria-keyshortcuts="f"
          startIcon={<FollowIcon size={17} />}
          onClick={() => store.following.set(!following)}
          disableElevation
        >
          {following ? words.following : words.follow}
        </Button>
      )}
      <CopyLink assetKey={assetKey} />
      {placed && map && (
        <IconButton aria-label={words.showOnMap} title={words.showOnMap} onClick={() => map.show(index)}>
          <FitIcon size={18} />
        </IconButton>
      )}
    </div>
  );
}

function Figures({ asset }: { asset: Asset }) {
  const figures: [string, string][] = [];
  if (asset.speed !== undefined) figures.push([words.speed, speed(asset.speed)]);
  if (asset.heading !== undefined) figures.push([words.heading, heading(asset.heading)]);
  if (asset.battery_pct !== undefined) figures.push([words.battery, `${whole(asset.battery_pct)} %`]);
  if (figures.length === 0) return null;
  return (
    <div style={{ display: 'grid', gridTemplateColumns: `repeat(${figures.length}, 1fr)`, gap: 8, marginBottom: 14 }}>
      {figures.map(([label, value]) => (
        <div key={label} className="figure numbers">
          <small className="quiet">{label}</small>
          <strong>{value}</strong>
        </div>
      ))}
    </div>
  );
}

function factsOf(asset: Asset): [string, string][] {
  const facts: [string, string | undefined][] = [
    [words.status, asset.status?.replaceAll('_', ' ')],
    [words.order, asset.order_id],
    [words.city, asset.city],
    [
      words.place,
      asset.latitude === undefined || asset.longitude === undefined
        ? undefined
        : place(asset.latitude, asset.longitude),
    ],
    [words.accuracy, asset.accuracy === undefined ? undefined : `± ${metres(asset.accuracy)}`],
    [words.measured, localTime(asset.timestamp)],
    [words.received, localTime(asset.received_at)],
    [words.flags, asset.flags?.join(', ') || undefined],
    [words.logPosition, whole(asset.position)],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
}

function Facts({ facts }: { facts: [string, string][] }) {
  return (
    <dl className="facts numbers">
      {facts.map(([label, value]) => (
        <div key={label} style={{ display: 'contents' }}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Trail({ points }: { points: Slice<number> }) {
  const count = useSlice(points);
  return (
    <p className="quiet numbers" data-testid="trail" data-points={count} style={{ margin: '14px 0 0' }}>
      {count > 1 ? words.trail(whole(count)) : words.noTrail}
    </p>
  );
}
