// Now or history. Arrows change between them, as in any list of tabs.

import type { KeyboardEvent } from 'react';
import { strings } from '../strings';

export type Tab = 'now' | 'history';
const TABS: Tab[] = ['now', 'history'];

export function Tabs({ tab, onTab }: { tab: Tab; onTab: (tab: Tab) => void }) {
  const keys = (event: KeyboardEvent) => {
    const to = { ArrowLeft: 'now', ArrowRight: 'history', Home: 'now', End: 'history' }[event.key] as Tab | undefined;
    if (!to) return;
    event.preventDefault();
    onTab(to);
    event.currentTarget.querySelector<HTMLElement>(`#tab-${to}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={strings.history.tabsLabel} onKeyDown={keys}>
      {TABS.map((name) => (
        <button
          key={name}
          id={`tab-${name}`}
          type="button"
          role="tab"
          aria-selected={name === tab}
          aria-controls="tab-panel"
          tabIndex={name === tab ? 0 : -1}
          onClick={() => onTab(name)}
        >
          {strings.history.tabs[name]}
        </button>
      ))}
    </div>
  );
}
