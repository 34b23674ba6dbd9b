// The selected asset: its name, and one of two pages, what it is now or what it did on a day.

import { IconButton } from '@mui/material';
import type { ReactNode } from 'react';
import { ago } from '../format';
import { history, today } from '../history';
import { CloseIcon, FreshnessDot, MarkerIcon } from '../icons';
import { store } from '../live';
import { useSlice } from '../live/slice';
import { type Asset, KINDS, kindOf } from '../live/wire';
import type { FleetMap } from '../map/fleetMap';
import { strings } from '../strings';
import { HistoryPage } from './HistoryPage';
import { Present } from './Present';
import { type Tab, Tabs } from './Tabs';

const words = strings.details;

export function DetailsCard({ assetKey, map }: { assetKey: string; map: FleetMap | null }) {
  const asset = useSlice(store.selectedAsset);
  const day = useSlice(history.day);
  useSlice(store.clock);
  const choose = (tab: Tab) => (tab === 'now' ? history.close() : history.open(assetKey, day ?? today()));
  return (
    <section aria-label={words.title} data-testid="details" className="details-card">
      {asset ? <Known asset={asset} assetKey={assetKey} /> : <Unknown assetKey={assetKey} />}
      <Tabs tab={day === null ? 'now' : 'history'} onTab={choose} />
      <div id="tab-panel" role="tabpanel" aria-labelledby={day === null ? 'tab-now' : 'tab-history'}>
        {day !== null && <HistoryPage assetKey={assetKey} day={day} map={map} />}
        {day === null && asset && <Present asset={asset} assetKey={assetKey} map={map} />}
        {day === null && !asset && <p className="quiet page">{words.unknownText}</p>}
      </div>
    </section>
  );
}

function Known({ asset, assetKey }: { asset: Asset; assetKey: string }) {
  const freshness = store.freshnessOf(store.find(assetKey)!);
  const kind = kindOf(asset.kind);
  return (
    <Head icon={<MarkerIcon kind={KINDS.indexOf(kind)} freshness={freshness} size={40} />} title={asset.id}>
      {kind === 'other' ? asset.kind : strings.kind[kind]} · <FreshnessDot freshness={freshness} />{' '}
      {strings.freshness[freshness]} · {ago(store.serverNow() - Date.parse(asset.received_at))}
    </Head>
  );
}

function Unknown({ assetKey }: { assetKey: string }) {
  return <Head title={assetKey.slice(assetKey.indexOf('/') + 1)}>{words.unknown}</Head>;
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
