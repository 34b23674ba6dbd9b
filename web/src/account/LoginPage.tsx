// The way in: e-mail and password, the second step where there is one, or the login of one's organisation.

import { Button, TextField } from '@mui/material';
import { type FormEvent, type ReactNode, useEffect, useState } from 'react';
import { type Problem, problemIn, read } from '../api/client';
import type { LoginOptions, LoginRequest } from '../api/types';
import { duration } from '../format';
import { Alone } from '../page/Frame';
import { Trouble } from '../page/Trouble';
import { isUnsaved } from '../page/unsaved';
import { useAnswer } from '../page/useAnswer';
import { loginElsewhere, session } from '../session';
import { strings } from '../strings';

const words = strings.login;
/** Where everything is needed, nothing is marked so. */
const NO_STAR = { inputLabel: { required: false } };
type Step = 'password' | 'code' | 'recovery';

export function LoginPage({ ended }: { ended: boolean }) {
  const [step, setStep] = useState<Step>('password');
  // Asked while the page that the session has left is still there.
  const [lost] = useState(isUnsaved);
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [elsewhere, setElsewhere] = useState(problemOfAddress);
  const wait = useWait(problem);
  useEffect(cleanAddress, []);

  const go = (next: Step) => {
    setStep(next);
    setCode('');
    setProblem(null);
  };
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setElsewhere(null);
    try {
      await session.login(loginRequest(step, email, password, code));
    } catch (error) {
      const problem = problemIn(error);
      if (problem.code === 'totp_required') go('code');
      else setProblem(problem);
      setCode('');
    }
    setBusy(false);
  };
  const submit = (
    <Button type="submit" variant="contained" size="large" fullWidth disabled={busy || wait > 0}>
      {step === 'password' ? words.submit : words.next}
    </Button>
  );
  const said = problem ? <Trouble>{messageOf(problem, step, wait)}</Trouble> : null;

  if (step !== 'password') {
    const other = step === 'code' ? 'recovery' : 'code';
    return (
      <Alone title={words.codeTitle}>
        <form className="form" onSubmit={send}>
          <p className="quiet">{step === 'code' ? words.codeText : words.recoveryText}</p>
          <CodeInput key={step} step={step} value={code} onChange={setCode} />
          {said}
          {submit}
          <p className="links">
            <Link onClick={() => go(other)}>{step === 'code' ? words.useRecovery : words.useCode}</Link>
            <Link onClick={() => go('password')}>{words.back}</Link>
          </p>
        </form>
      </Alone>
    );
  }
  return (
    <Alone title={words.title}>
      <form className="form" onSubmit={send}>
        {ended && !problem && !elsewhere && (
          <div className="note" role="status">
            {lost ? words.endedUnsaved : words.ended}
          </div>
        )}
        {elsewhere && <Trouble>{elsewhere}</Trouble>}
        <TextField
          label={words.email}
          type="email"
          autoComplete="username"
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          slotProps={NO_STAR}
          required
          autoFocus
        />
        <TextField
          label={words.password}
          type="password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          slotProps={NO_STAR}
          required
        />
        {said}
        {submit}
      </form>
      <Elsewhere />
    </Alone>
  );
}

function loginRequest(step: Step, email: string, password: string, code: string): LoginRequest {
  const known = { email: email.trim(), password };
  if (step === 'password') return known;
  return step === 'code' ? { ...known, totp: code.replaceAll(' ', '') } : { ...known, recovery_code: code.trim() };
}

function CodeInput({ step, value, onChange }: { step: Step; value: string; onChange: (code: string) => void }) {
  const digits = step === 'code';
  return (
    <TextField
      label={digits ? words.code : words.recovery}
      autoComplete={digits ? 'one-time-code' : 'off'}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      slotProps={{
        ...NO_STAR,
        htmlInput: { inputMode: digits ? 'numeric' : 'text', spellCheck: false, className: 'numbers' },
      }}
      required
      autoFocus
    />
  );
}

/** The login of the organisation, where the node knows one. */
function Elsewhere() {
  const { data } = useAnswer(askOptions);
  if (!data?.oidc) return null;
  return (
    <div className="form">
      <p className="or quiet">{words.or}</p>
      <Button variant="outlined" size="large" onClick={loginElsewhere}>
        {words.elsewhere(data.oidc)}
      </Button>
    </div>
  );
}

const askOptions = (signal: AbortSignal) => read<LoginOptions>('auth/options', signal);

function Link({ onClick, children }: { onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className="link" onClick={onClick}>
      {children}
    </button>
  );
}

/** What the login elsewhere ended with. */
function problemOfAddress(): string | null {
  const code = new URLSearchParams(location.search).get('problem');
  if (code === null) return null;
  const { other, ...known } = words.problems;
  return (known as Record<string, string>)[code] ?? other;
}

/** It is told once, not after each reload. */
function cleanAddress(): void {
  const url = new URL(location.href);
  url.searchParams.delete('problem');
  history.replaceState(null, '', url);
}

function messageOf(problem: Problem, step: Step, wait: number): string {
  if (problem.status === 429) return wait > 0 ? words.wait(duration(wait)) : words.problems.rate_limited;
  // Which of them was wrong the node does not say; after the first step it was the code.
  const wrong = problem.code === 'wrong_credentials' || problem.code === 'wrong_totp';
  if (wrong) return step === 'password' ? words.wrong : words.wrongCode;
  return problem.message;
}

/** Seconds until the next try, counted down. */
function useWait(problem: Problem | null): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const seconds = problem?.retryAfterS ?? 0;
    const until = Date.now() + seconds * 1000;
    setLeft(seconds);
    if (seconds === 0) return;
    const timer = setInterval(() => {
      const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      setLeft(left);
      if (left === 0) clearInterval(timer);
    }, 500);
    return () => clearInterval(timer);
  }, [problem]);
  return left;
}
