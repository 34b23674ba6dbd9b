// Search, filters with counts, and order. What is filtered here is filtered on the map too.

import { IconButton, InputAdornment, OutlinedInput, Tooltip } from '@mui/material';
import type { KeyboardEvent, ReactNode, RefObject } from 'react';
import { whole } from '../format';
import { CloseIcon, FreshnessDot, SearchIcon, SortIcon } from '../icons';
import { store } from '../live';
import type { Freshness } from '../live/motion';
import { useSlice } from '../live/slice';
import { KINDS } from '../live/wire';
import { strings } from '../strings';

interface Props {
  search: RefObject<HTMLInputElement | null>;
  onDown: () => void;
}

export function Filters({ search, onDown }: Props) {
  const filter = useSlice(store.filter);
  const counts = useSlice(store.counts);
  const nextSort = filter.sort === 'id' ? 'updated' : 'id';
  const clear = (
    <IconButton size="small" aria-label={strings.clearSearch} onClick={() => store.setFilter({ text: '' })}>
      <CloseIcon size={16} />
    </IconButton>
  );
  const sort = (
    <Tooltip title={strings.sort}>
      <button
        type="button"
        className="chip"
        aria-label={`${strings.sort}: ${strings.sortBy[filter.sort]}`}
        style={{ border: 0, padding: '0 4px' }}
        onClick={() => store.setFilter({ sort: nextSort })}
      >
        <SortIcon size={16} /> {strings.sortBy[filter.sort]}
      </button>
    </Tooltip>
  );
  const keys = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
    event.preventDefault();
    onDown();
  };
  return (
    <div style={{ display: 'grid', gap: 8, padding: '0 12px 8px' }}>
      <OutlinedInput
        size="small"
        fullWidth
        value={filter.text}
        placeholder={strings.search}
        inputRef={search}
        inputProps={{ 'aria-label': strings.search, 'aria-keyshortcuts': '/', spellCheck: false, type: 'search' }}
        onChange={(event) => store.setFilter({ text: event.target.value })}
        onKeyDown={keys}
        startAdornment={
          <InputAdornment position="start">
            <SearchIcon size={18} />
          </InputAdornment>
        }
        endAdornment={filter.text === '' ? <kbd className="key">/</kbd> : clear}
        sx={{ borderRadius: '10px', pr: 1, fontSize: 14, '& input::-webkit-search-cancel-button': { display: 'none' } }}
      />
      <Choices label={strings.filterFreshness}>
        {strings.freshness.map((name, freshness) => (
          <Choice
            key={name}
            on={filter.freshness === freshness}
            onClick={(on) => store.setFilter({ freshness: on ? (freshness as Freshness) : null })}
            name={name}
            count={counts.freshness[freshness as Freshness]}
          >
            <FreshnessDot freshness={freshness} size={11} />
          </Choice>
        ))}
      </Choices>
      <Choices label={strings.filterKind}>
        {KINDS.map((kind, at) => (
          <Choice
            key={kind}
            on={filter.kind === at}
            onClick={(on) => store.setFilter({ kind: on ? at : null })}
            name={strings.kinds[kind]}
            count={counts.kinds[at] ?? 0}
          />
        ))}
      </Choices>
      <div style={{ display: 'flex', justifyContent: 'space-between', alignItems: 'center', minHeight: 28 }}>
        <span className="quiet numbers" data-testid="shown" aria-live="polite">
          {strings.shown(whole(counts.matching), whole(counts.total))}
        </span>
        {sort}
      </div>
    </div>
  );
}

function Choices({ label, children }: { label: string; children: ReactNode }) {
  return (
    <fieldset className="chips" aria-label={label}>
      {children}
    </fieldset>
  );
}

interface ChoiceProps {
  on: boolean;
  onClick: (on: boolean) => void;
  name: string;
  count: number;
  children?: ReactNode;
}

function Choice({ on, onClick, name, count, children }: ChoiceProps) {
  if (count === 0 && !on && children === undefined) return null;
  return (
    <button type="button" className="chip numbers" aria-pressed={on} onClick={() => onClick(!on)}>
      {children}
      {name} <span className="quiet">{whole(count)}</span>
    </button>
  );
}
