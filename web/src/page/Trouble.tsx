// What went wrong, in the node's words, and what to do about it.

import { Button } from '@mui/material';
import type { ReactNode } from 'react';
import type { Problem } from '../api/client';
import { strings } from '../strings';

const words = strings.page;

/** Beside what did not work. */
export function Trouble({ problem, children }: { problem?: Problem | null; children?: ReactNode }) {
  const changed = problem?.code === 'changed';
  return (
    <div className="note trouble" role="alert">
      {children}
      {changed ? words.changed : problem?.message}
      {!changed && problem?.help && <small className="quiet">{problem.help}</small>}
    </div>
  );
}

/** In place of what could not be loaded. */
export function Failed({ problem, again }: { problem: Problem; again: () => void }) {
  return (
    <div className="blank" role="alert">
      <p>
        <strong>{words.failed}</strong>
      </p>
      <p className="quiet">{problem.message}</p>
      {problem.help && <p className="quiet">{problem.help}</p>}
      <Button variant="outlined" size="small" onClick={again}>
        {words.retry}
      </Button>
    </div>
  );
}
