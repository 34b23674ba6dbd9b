// Everything the node says about the selected asset, and what can be done with it.

import { Button, IconButton } from '@mui/material';
import { type ReactNode, useEffect, useState } from 'react';
import { ago, heading, localTime, metres, place, reading, speed, whole } from '../format';
import { CloseIcon, FitIcon, FollowIcon, FreshnessDot, LinkIcon, MarkerIcon } from '../icons';
import { writeLink } from '../link';
import { store } from '../live';
import { type Slice, useSlice } from '../live/slice';
import { type Asset, KINDS, kindOf } from '../live/wire';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';

const words = strings.details;

export function DetailsCard({ assetKey, map }: { assetKey: string; map: FleetMap | null }) {
  const asset = useSlice(store.selectedAsset);
  useSlice(store.clock);
  return (
    <section
      aria-label={words.title}
      data-testid="details"
      style={{ display: 'flex', flexDirection: 'column', minHeight: 0 }}
    >
      {asset ? <Known asset={asset} assetKey={assetKey} map={map} /> : <Unknown assetKey={assetKey} />}
    </section>
  );
}

function Head({ icon, title, children }: { icon?: ReactNode; title: string; children: ReactNode }) {
  return (
    <header style={{ display: 'flex', gap: 12, alignItems: 'center', padding: '14px 10px 10px 16px' }}>
      {icon}
      <div style={{ flex: 1, minWidth: 0 }}>
        <h2 className="clip" style={{ margin: 0, fontSize: 18, letterSpacing: '-0.02em' }}>
          {title}
        </h2>
        <div className="quiet numbers">{children}</div>
      </div>
      <IconButton aria-label={words.close} onClick={() => store.select(null)} sx={{ alignSelf: 'start' }}>
        <CloseIcon size={18} />
      </IconButton>
    </header>
  );
}

function Unknown({ assetKey }: { assetKey: string }) {
  return (
    <>
      <Head title={assetKey.slice(assetKey.indexOf('/') + 1)}>{words.unknown}</Head>
      <p className="quiet" style={{ margin: 0, padding: '0 16px 16px' }}>
        {words.unknownText}
      </p>
    </>
  );
}

function Known({ asset, assetKey, map }: { asset: Asset; assetKey: string; map: FleetMap | null }) {
  const index = store.find(assetKey)!;
  const freshness = store.freshnessOf(index);
  const kind = kindOf(asset.kind);
  return (
    <>
      <Head icon={<MarkerIcon kind={KINDS.indexOf(kind)} freshness={freshness} size={40} />} title={asset.id}>
        {kind === 'other' ? asset.kind : strings.kind[kind]} · <FreshnessDot freshness={freshness} />{' '}
        {strings.freshness[freshness]} · {ago(store.serverNow() - Date.parse(asset.received_at))}
      </Head>
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
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    await navigator.clipboard?.writeText(
      `${location.origin}${location.pathname}${writeLink({ key: assetKey, view: null })}`,
    );
    setCopied(true);
  };
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
      <Button
        variant="outlined"
        color="inherit"
        startIcon={<LinkIcon size={17} />}
        onClick={copy}
        sx={{ borderColor: 'divider' }}
      >
        {copied ? words.linkCopied : words.copyLink}
      </Button>
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
