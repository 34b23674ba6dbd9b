// The second step of the login: on by scanning a key and proving it, off by the password.

import { Button, TextField } from '@mui/material';
import { type FormEvent, useMemo, useState } from 'react';
import { change } from '../api/client';
import type { RecoveryCodes, TotpSetup } from '../api/types';
import { CopyButton } from '../page/CopyButton';
import { saveText } from '../page/copy';
import { Trouble } from '../page/Trouble';
import { useChange } from '../page/useAnswer';
import { session } from '../session';
import { strings } from '../strings';
import { Password, passwordMessage } from './PasswordForm';
import { qrOf } from './qr';

const words = strings.account;
type Phase =
  | { name: 'rest' | 'beginning' | 'ending' }
  | { name: 'begun'; begun: TotpSetup }
  | { name: 'kept'; codes: string[] };

export function SecondFactor({ on, codesLeft }: { on: boolean; codesLeft: number }) {
  const [phase, setPhase] = useState<Phase>({ name: 'rest' });
  const rest = () => setPhase({ name: 'rest' });
  const begin = async (password: string) =>
    setPhase({ name: 'begun', begun: await change<TotpSetup>('POST', 'auth/totp', { password }) });
  const end = async (password: string) => {
    await change('DELETE', 'auth/totp', { password });
    await session.check();
    rest();
  };
  switch (phase.name) {
    case 'beginning':
      return <PasswordFirst text={words.factorBeginText} action={words.factorBegin} onSend={begin} onCancel={rest} />;
    case 'begun':
      return <Prove begun={phase.begun} onDone={(codes) => setPhase({ name: 'kept', codes })} onCancel={rest} />;
    case 'kept':
      return <Codes codes={phase.codes} onKept={rest} />;
    case 'ending':
      return <PasswordFirst text={words.factorEndText} action={words.factorEnd} danger onSend={end} onCancel={rest} />;
    case 'rest':
      return (
        <>
          <p className="quiet">{on ? `${words.factorOn} ${words.codesLeft(codesLeft)}` : words.factorOff}</p>
          <Button variant="outlined" onClick={() => setPhase({ name: on ? 'ending' : 'beginning' })}>
            {on ? words.factorEnd : words.factorBegin}
          </Button>
        </>
      );
  }
}

function Prove(props: { begun: TotpSetup; onDone: (codes: string[]) => void; onCancel: () => void }) {
  const { secret, url } = props.begun;
  const [code, setCode] = useState('');
  const { busy, problem, run } = useChange();
  const send = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const sent = { code: code.replaceAll(' ', '') };
      props.onDone((await change<RecoveryCodes>('POST', 'auth/totp/confirm', sent)).recovery_codes);
      await session.check();
    });
  };
  return (
    <form className="form" onSubmit={send}>
      <p className="quiet">{words.scan}</p>
      <QrCode text={url} />
      <div className="key-line">
        <code data-testid="totp-key">{secret.replace(/(.{4})(?=.)/g, '$1 ')}</code>
        <CopyButton text={secret} label={words.key} />
      </div>
      <TextField
        size="small"
        label={words.codeFromApp}
        value={code}
        autoComplete="one-time-code"
        slotProps={{ inputLabel: { required: false }, htmlInput: { inputMode: 'numeric', className: 'numbers' } }}
        onChange={(event) => setCode(event.target.value)}
        required
        autoFocus
      />
      {problem && <Trouble>{problem.details?.field === 'code' ? strings.login.wrongCode : problem.message}</Trouble>}
      <div className="buttons">
        <Button type="submit" variant="contained" disabled={busy}>
          {words.turnOn}
        </Button>
        <Button color="inherit" onClick={props.onCancel}>
          {strings.page.cancel}
        </Button>
      </div>
    </form>
  );
}

/** Black on white in the dark too: readers want it so. */
function QrCode({ text }: { text: string }) {
  const { size, path } = useMemo(() => qrOf(text), [text]);
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={words.qr} shapeRendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}

function Codes({ codes, onKept }: { codes: string[]; onKept: () => void }) {
  const text = codes.join('\n');
  return (
    <section className="form" aria-label={words.recovery}>
      <h3>{words.recovery}</h3>
      <p>{words.recoveryText}</p>
      <ul className="codes command" data-testid="recovery-codes">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ul>
      <div className="buttons">
        <CopyButton text={text} label={words.recovery} />
        <Button variant="outlined" size="small" onClick={() => saveText(`${text}\n`, 'drover-recovery-codes.txt')}>
          {strings.page.download}
        </Button>
        <Button variant="contained" size="small" onClick={onKept}>
          {words.recoveryKept}
        </Button>
      </div>
    </section>
  );
}

interface PasswordFirstProps {
  text: string;
  action: string;
  danger?: boolean;
  onSend: (password: string) => Promise<void>;
  onCancel: () => void;
}

/** Who changes what protects the account proves once more that it is his. */
function PasswordFirst({ text, action, danger = false, onSend, onCancel }: PasswordFirstProps) {
  const [password, setPassword] = useState('');
  const { busy, problem, run } = useChange();
  const send = (event: FormEvent) => {
    event.preventDefault();
    void run(() => onSend(password));
  };
  return (
    <form className="form" onSubmit={send}>
      <p className="quiet">{text}</p>
      <Password
        label={words.currentPassword}
        value={password}
        onChange={setPassword}
        autoComplete="current-password"
        autoFocus
      />
      {problem && <Trouble>{passwordMessage(problem)}</Trouble>}
      <div className="buttons">
        <Button type="submit" color={danger ? 'error' : 'primary'} variant="contained" disabled={busy}>
          {action}
        </Button>
        <Button color="inherit" onClick={onCancel}>
          {strings.page.cancel}
        </Button>
      </div>
    </form>
  );
}
