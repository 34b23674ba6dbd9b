// What somebody's own account is, and what he can change of it.

import { Button } from '@mui/material';
import { type ReactNode, useState } from 'react';
import { knownName, useNames } from '../admin/names';
import { fleetsOf } from '../admin/reach';
import type { Role } from '../api/types';
import { Frame } from '../page/Frame';
import { may, sectionsOf } from '../session/may';
import type { Person } from '../session/session';
import { strings } from '../strings';
import { PasswordForm } from './PasswordForm';
import { SecondFactor } from './SecondFactor';
import { Sessions } from './Sessions';

const words = strings.account;

export function AccountPage({ me }: { me: Person }) {
  useNames(
    me.fleets.map((id) => ['fleets', id] as const),
    (permission) => may(me, permission),
  );
  const fleets = me.fleets.map((id) => ({ value: id, label: knownName('fleets', id) }));
  return (
    <Frame title={words.title}>
      <div className="column">
        <Box title={me.user.name || me.user.email}>
          <dl className="facts">
            <dt>{words.email}</dt>
            <dd>{me.user.email}</dd>
            <dt>{words.role}</dt>
            <dd>{strings.roles[me.role as Role] ?? me.role}</dd>
            <dt>{words.fleets}</dt>
            <dd>{fleetsOf(me, fleets)}</dd>
          </dl>
          {!may(me, 'live.read') && sectionsOf(me).length === 0 && <p className="quiet">{words.noPages}</p>}
        </Box>
        <Box title={words.password}>
          <PasswordPart />
        </Box>
        <Box title={words.factor}>
          <SecondFactor on={me.user.totp} codesLeft={me.user.recovery_codes_left} />
        </Box>
        <Box title={words.sessions}>
          <Sessions />
        </Box>
      </div>
    </Frame>
  );
}

function PasswordPart() {
  const [phase, setPhase] = useState<'closed' | 'open' | 'done'>('closed');
  if (phase === 'open') return <PasswordForm onDone={() => setPhase('done')} />;
  return (
    <>
      {phase === 'done' && (
        <p role="status" className="good">
          {words.passwordChanged}
        </p>
      )}
      <Button variant="outlined" onClick={() => setPhase('open')}>
        {words.changePassword}
      </Button>
    </>
  );
}

function Box({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="card box" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
