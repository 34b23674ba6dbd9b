// A new password in place of the old one.

import { Button, TextField } from '@mui/material';
import { type FormEvent, useState } from 'react';
import { change, type Problem } from '../api/client';
import type { PasswordChange } from '../api/types';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { strings } from '../strings';

const words = strings.account;
/** What the node wants at least; it says so again. */
const PASSWORD_MIN = 12;

interface Props {
  /** The password to be replaced, where it is known already. */
  current?: string | null;
  currentLabel?: string;
  onDone: () => void;
}

export function PasswordForm({ current = null, currentLabel = words.currentPassword, onDone }: Props) {
  const [old, setOld] = useState(current ?? '');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  /** The two that were sent or compared last: what was wrong with them is said until one is another. */
  const [tried, setTried] = useState<{ next: string; again: string } | null>(null);
  const { busy, problem, run } = useChange();
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setTried({ next, again });
    if (next !== again) return;
    const sent: PasswordChange = { current_password: old, new_password: next };
    if (!(await run(() => change('POST', 'auth/password', sent)))) return;
    setOld('');
    setNext('');
    setAgain('');
    onDone();
  };
  const differs = tried !== null && tried.next === next && tried.again === again && next !== again;
  const refused = problem?.details?.field === 'new_password' ? problem.message : null;
  const atNew = refused !== null && tried?.next === next;
  const hint = [...next].length < PASSWORD_MIN ? words.passwordRule : undefined;
  return (
    <form className="form" onSubmit={send}>
      {current === null && (
        <Password label={currentLabel} value={old} onChange={setOld} autoComplete="current-password" />
      )}
      <Password
        label={words.newPassword}
        value={next}
        onChange={setNext}
        autoComplete="new-password"
        error={atNew}
        help={atNew ? refused : hint}
        autoFocus={current !== null}
      />
      <Password
        label={words.repeatPassword}
        value={again}
        onChange={setAgain}
        autoComplete="new-password"
        error={differs}
        help={differs ? words.repeatWrong : undefined}
      />
      {problem && refused === null && <Trouble>{passwordMessage(problem)}</Trouble>}
      <Button type="submit" variant="contained" disabled={busy} sx={{ alignSelf: 'start' }}>
        {words.changePassword}
      </Button>
    </form>
  );
}

export function passwordMessage(problem: Problem): string {
  return problem.code === 'wrong_credentials' ? words.wrongPassword : problem.message;
}

interface PasswordProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  autoComplete: 'current-password' | 'new-password';
  error?: boolean;
  help?: string | undefined;
  autoFocus?: boolean;
}

export function Password({ label, value, onChange, autoComplete, error = false, help, autoFocus }: PasswordProps) {
  return (
    <TextField
      size="small"
      fullWidth
      type="password"
      label={label}
      value={value}
      autoComplete={autoComplete}
      error={error}
      helperText={help}
      autoFocus={autoFocus ?? false}
      onChange={(event) => onChange(event.target.value)}
      slotProps={{ inputLabel: { required: false } }}
      required
    />
  );
}
