// Keys that work wherever the focus is. Keys of the list are in the list.

import { useEffect } from 'react';
import { history } from './history';
import { store } from './live';
import { NO_FILTER } from './live/store';

export function usePageKeys(focusSearch: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target instanceof HTMLInputElement && event.target.type !== 'range';
      if (event.key === 'Escape') clearOne(typing ? (event.target as HTMLInputElement) : null);
      else if (typing) return;
      else if (event.key === '/') focusSearch();
      else if (event.key === 'f' && store.selectedAsset.get()) store.following.set(!store.following.get());
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, [focusSearch]);
}

/** One step back per press: the search text, the replay, history, the selection, then the filters. */
function clearOne(input: HTMLInputElement | null): void {
  if (input && store.filter.get().text !== '') return store.setFilter({ text: '' });
  input?.blur();
  if (history.back()) return;
  if (store.selected.get() !== null) store.select(null);
  else store.setFilter({ ...NO_FILTER, sort: store.filter.get().sort });
}
