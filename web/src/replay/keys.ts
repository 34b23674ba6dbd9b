// Keys while a replay is on, wherever the focus is but where keys have a meaning of their own: in text, in the list,
// among tabs, in a dialog, on the handle of the sheet.

import { useEffect } from 'react';
import { history } from '../history';

const { replay } = history;
const OWN_KEYS = 'input:not([type=range]), textarea, select, [role=listbox], [role=tablist], [role=dialog], .handle';

const ACTIONS: Record<string, () => void> = {
  ' ': () => replay.toggle(),
  ArrowLeft: () => replay.step(-1),
  ArrowRight: () => replay.step(1),
  ArrowUp: () => replay.faster(),
  ArrowDown: () => replay.slower(),
  Home: () => replay.toStart(),
  End: () => replay.toEnd(),
};

export function useReplayKeys(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { target } = event;
      const action = ACTIONS[event.key];
      if (!action || !(target instanceof Element) || target.closest(OWN_KEYS)) return;
      // A button in focus is what the space bar presses.
      if (event.key === ' ' && target.closest('button, a')) return;
      event.preventDefault();
      event.stopPropagation();
      action();
    };
    letGo();
    addEventListener('click', letGo);
    // Before the map and the range take them.
    addEventListener('keydown', press, true);
    return () => {
      removeEventListener('click', letGo);
      removeEventListener('keydown', press, true);
    };
  }, []);
}

/** After a click the space bar plays and stands still; it does not press that button again. */
function letGo(): void {
  const { activeElement } = document;
  if (activeElement instanceof HTMLButtonElement && !activeElement.matches(':focus-visible')) activeElement.blur();
}
