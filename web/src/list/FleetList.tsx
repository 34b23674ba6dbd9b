// The fleet as a list: filters on top, one row per asset, arrows and Enter.

import { Button, LinearProgress } from '@mui/material';
import { type KeyboardEvent, type RefObject, useEffect, useRef, useState } from 'react';
import { whole } from '../format';
import { socket, store } from '../live';
import { useSlice } from '../live/slice';
import { NO_FILTER } from '../live/store';
import { keyOf } from '../live/wire';
import { strings } from '../strings';
import { AssetRow, rowId } from './AssetRow';
import { EmptyFleet } from './EmptyFleet';
import { Filters } from './Filters';
import { VirtualList, type VirtualListHandle } from './VirtualList';

const ROW_PX = 54;

export function FleetList({ search }: { search: RefObject<HTMLInputElement | null> }) {
  const rows = useSlice(store.rows);
  const selected = useSlice(store.selected);
  const loading = useSlice(socket.loading);
  const { total } = useSlice(store.counts);
  useSlice(store.clock);
  const [active, setActive] = useState<string | null>(null);
  const list = useRef<VirtualListHandle>(null);

  // Selected on the map: bring its row into sight.
  useEffect(() => {
    const index = selected === null ? undefined : store.find(selected);
    const at = index === undefined ? -1 : store.rows.get().indexOf(index);
    if (at >= 0) list.current?.scrollTo(at);
    setActive(selected);
  }, [selected]);

  const moveTo = (at: number) => {
    const index = rows[Math.min(Math.max(at, 0), rows.length - 1)];
    if (index === undefined) return;
    setActive(keyOf(store.asset(index)));
    list.current?.scrollTo(rows.indexOf(index));
  };
  const keys = (event: KeyboardEvent) => {
    const index = active === null ? undefined : store.find(active);
    const at = index === undefined ? -1 : rows.indexOf(index);
    const page = 8;
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const target = event.key === 'Home' ? 0 : event.key === 'End' ? rows.length - 1 : moves[event.key];
    if (target !== undefined) moveTo(target);
    else if (event.key === 'Enter' && active !== null) store.select(active);
    else return;
    event.preventDefault();
  };
  const enter = () => {
    list.current?.focus();
    moveTo(0);
  };

  if (total === 0) return loading ? <Loading received={0} total={loading.total} /> : <EmptyFleet />;
  return (
    <>
      <Filters search={search} onDown={enter} />
      {loading && <Loading received={loading.received} total={loading.total} />}
      <VirtualList
        ref={list}
        count={rows.length}
        rowHeight={ROW_PX}
        label={strings.list}
        activeId={active === null ? undefined : rowId(active)}
        onKeyDown={keys}
        row={(at) => {
          const index = rows[at]!;
          const key = keyOf(store.asset(index));
          return (
            <AssetRow
              key={key}
              index={index}
              at={at}
              count={rows.length}
              height={ROW_PX}
              selected={key === selected}
              active={key === active}
            />
          );
        }}
      />
      {rows.length === 0 && total > 0 && <NoMatch />}
    </>
  );
}

function Loading({ received, total }: { received: number; total: number }) {
  return (
    <div style={{ padding: '0 14px 10px' }} role="status">
      <span className="quiet numbers">
        {total ? strings.loading(whole(received), whole(total)) : strings.loadingFirst}
      </span>
      <LinearProgress
        sx={{ mt: 0.5, borderRadius: 2 }}
        variant={total ? 'determinate' : 'indeterminate'}
        value={total ? (received / total) * 100 : 0}
        aria-label={strings.loadingFirst}
      />
    </div>
  );
}

function NoMatch() {
  return (
    <div style={{ padding: '0 20px 40px', textAlign: 'center', flex: 4 }}>
      <p className="quiet">{strings.noMatch}</p>
      <Button variant="outlined" size="small" onClick={() => store.setFilter(NO_FILTER)}>
        {strings.clearFilters}
      </Button>
    </div>
  );
}
