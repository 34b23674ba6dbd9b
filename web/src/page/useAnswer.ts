// Asks the node when a part of a page appears, and again when it is told to; what is shown stays until the next
// answer is here.

import { useCallback, useEffect, useState } from 'react';
import { type Problem, problemIn } from '../api/client';

export interface Answered<Data> {
  data: Data | null;
  problem: Problem | null;
  busy: boolean;
  again: () => void;
}

/** `ask` is asked again when it is another function: give it by `useCallback`. */
export function useAnswer<Data>(ask: (signal: AbortSignal) => Promise<Data>): Answered<Data> {
  const [round, setRound] = useState(0);
  const [state, setState] = useState<Omit<Answered<Data>, 'again'>>({ data: null, problem: null, busy: true });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another round asks the same again
  useEffect(() => {
    const control = new AbortController();
    setState(({ data, problem }) => ({ data, problem, busy: true }));
    ask(control.signal).then(
      (data) => {
        if (!control.signal.aborted) setState({ data, problem: null, busy: false });
      },
      (error: unknown) => {
        if (!control.signal.aborted) setState({ data: null, problem: problemIn(error), busy: false });
      },
    );
    return () => control.abort();
  }, [ask, round]);
  const again = useCallback(() => setRound((round) => round + 1), []);
  return { ...state, again };
}

export interface Done {
  busy: boolean;
  problem: Problem | null;
  /** True on return if it worked. */
  run: (act: () => Promise<unknown>) => Promise<boolean>;
}

/** One change at a time, and what the node said against it. */
export function useChange(): Done {
  const [state, setState] = useState<{ busy: boolean; problem: Problem | null }>({ busy: false, problem: null });
  const run = useCallback(async (act: () => Promise<unknown>) => {
    setState({ busy: true, problem: null });
    try {
      await act();
      setState({ busy: false, problem: null });
      return true;
    } catch (error) {
      setState({ busy: false, problem: problemIn(error) });
      return false;
    }
  }, []);
  return { ...state, run };
}
