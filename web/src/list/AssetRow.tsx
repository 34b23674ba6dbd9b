// One asset in the list.

import { ago, speed } from '../format';
import { MarkerIcon } from '../icons';
import { store } from '../live';
import { keyOf, kindOf } from '../live/wire';
import { strings } from '../strings';

interface Props {
  index: number;
  at: number;
  count: number;
  height: number;
  selected: boolean;
  active: boolean;
}

export function rowId(key: string): string {
  return `row-${key}`;
}

export function AssetRow({ index, at, count, height, selected, active }: Props) {
  const asset = store.asset(index);
  const freshness = store.freshnessOf(index);
  const key = keyOf(asset);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list itself handles keys (aria-activedescendant)
    <div
      id={rowId(key)}
      className="row numbers"
      role="option"
      tabIndex={-1}
      aria-selected={selected}
      aria-posinset={at + 1}
      aria-setsize={count}
      data-active={active}
      data-key={key}
      style={{ top: at * height, height }}
      onMouseDown={(event) => event.preventDefault()}
      onClick={() => store.select(key)}
    >
      <MarkerIcon kind={store.motion.kind(index)} freshness={freshness} />
      <span className="clip">
        <strong className="clip">{asset.id}</strong>
        <small className="quiet">
          {strings.kind[kindOf(asset.kind)]}
          {asset.status ? ` · ${asset.status.replaceAll('_', ' ')}` : ''}
        </small>
      </span>
      <span style={{ textAlign: 'right' }}>
        <strong style={{ fontWeight: 500 }}>{asset.speed === undefined ? '' : speed(asset.speed)}</strong>
        <small className="quiet">{ago(store.serverNow() - Date.parse(asset.received_at))}</small>
      </span>
    </div>
  );
}
