// People who log in: their role and reach, and help for who cannot get in.

import { useState } from 'react';
import { change } from '../api/client';
import type { MadeUser, Role, User } from '../api/types';
import { localTime } from '../format';
import { Confirm } from '../page/Confirm';
import { FormDialog } from '../page/Form';
import { type Choice, changedBody, type Field, type Fields, newBody } from '../page/fields';
import { type Secret, SecretDialog } from '../page/Secret';
import { type Action, Nothing, Table } from '../page/Table';
import { may, mayGive } from '../session/may';
import type { Person as LoggedIn } from '../session/session';
import { strings } from '../strings';
import { RESOURCES, type RecordName } from './definitions';
import { Head } from './Head';
import { lookupOf } from './names';
import { fleetsOf, reachChanged, reachFields, reachSent, reachStart } from './reach';
import { useFleets, useList, usePaused } from './useList';

const words = strings.admin.users;
const section = strings.admin.sections.users;
const one = strings.admin.one.users;

type Doing = 'edit' | 'password' | 'factor' | 'lock' | 'remove';
type Open = { what: 'new' } | { what: Doing; user: User };

export function Users({ me, change: mayChange }: { me: LoggedIn; change: boolean }) {
  const [open, setOpen] = useState<Open | null>(null);
  const [secret, setSecret] = useState<Secret | null>(null);
  const [text, setText] = useState('');
  const q = usePaused(text.trim());
  const list = useList<User>('users', { q });
  const fleets = useFleets(me);

  const actions = (user: User): Action[] => {
    const act = (what: Doing) => () => setOpen({ what, user });
    // Who has more than oneself is not oneself's to change.
    if (!mayChange || !mayGive(me, user.role as Role)) return [];
    const others: Action[] = [
      { label: words.newPassword, act: act('password') },
      { label: user.disabled ? words.enable : words.disable, act: act('lock') },
      { label: strings.admin.remove, danger: true, act: act('remove') },
    ];
    return [
      { label: strings.admin.edit, act: act('edit') },
      ...(user.totp ? [{ label: words.endFactor, act: act('factor') }] : []),
      // Nobody locks himself out by mistake.
      ...(user.id === me.user.id ? [] : others),
    ];
  };
  return (
    <>
      <Head
        title={section}
        search={{ text, onText: setText }}
        add={mayChange ? { label: strings.admin.add(one), act: () => setOpen({ what: 'new' }) } : null}
      />
      <Table
        label={section}
        answered={list}
        onPage={list.onPage}
        idOf={({ id }) => id}
        nameOf={({ email }) => email}
        columns={[
          { label: strings.admin.name, cell: ({ name, email }) => <Person name={name} email={email} /> },
          { label: words.role, cell: ({ role }) => strings.roles[role as Role] ?? role },
          { label: words.fleets, cell: (user) => fleetsOf(user, fleets) },
          { label: words.factor, cell: ({ totp }) => strings.page[totp ? 'yes' : 'no'] },
          { label: strings.admin.status, cell: (user) => <Status user={user} /> },
          { label: strings.admin.created, cell: ({ created_at }) => localTime(created_at) },
        ]}
        actions={actions}
        empty={<Nothing text={q ? strings.admin.noMatch : strings.admin.empty(section.toLowerCase())} />}
      />
      {open && dialogOf(open)}
      {secret && <SecretDialog secret={secret} onClose={() => setSecret(null)} />}
    </>
  );

  function dialogOf(open: Open) {
    const close = () => setOpen(null);
    const then = async <Done,>(doing: Promise<Done>): Promise<Done> => {
      try {
        return await doing;
      } finally {
        // Refused because it was changed meanwhile: then what it is now is shown.
        list.again();
      }
    };
    const shown = (name: string, { one_time_password }: MadeUser) =>
      setSecret({
        title: words.passwordTitle(name),
        note: words.passwordText,
        parts: [{ label: strings.account.oneTimePassword, text: one_time_password }],
      });
    const fields = userFields(me, fleets);
    if (open.what === 'new') {
      const make = async (body: Fields) =>
        shown(String(body.email), await then(change<MadeUser>('POST', 'users', body)));
      return (
        <FormDialog
          title={strings.admin.addTitle(one)}
          fields={fields}
          start={reachStart(me)}
          onSend={(values) => make(reachSent(newBody(fields, values)))}
          onClose={close}
        />
      );
    }
    const { user } = open;
    const path = `users/${encodeURIComponent(user.id)}`;
    switch (open.what) {
      case 'edit':
        return (
          <FormDialog
            title={strings.admin.editTitle(one, user.email)}
            fields={fields}
            record={user as unknown as Fields}
            onSend={(values, before) =>
              then(change('PATCH', path, changedUser(changedBody(fields, before, values), user), `"${user.version}"`))
            }
            onClose={close}
          />
        );
      case 'password':
        return (
          <Confirm
            title={words.newPasswordTitle(user.email)}
            text={words.newPasswordText}
            action={words.newPassword}
            onYes={async () => shown(user.email, await then(change('POST', `${path}/password`)))}
            onClose={close}
          />
        );
      case 'factor':
        return (
          <Confirm
            title={words.endFactorTitle(user.email)}
            text={words.endFactorText}
            action={words.endFactor}
            onYes={() => then(change('DELETE', `${path}/totp`))}
            onClose={close}
          />
        );
      case 'lock':
        return (
          <Confirm
            title={(user.disabled ? words.enableTitle : words.disableTitle)(user.email)}
            text={user.disabled ? words.enableText : words.disableText}
            action={user.disabled ? words.enable : words.disable}
            onYes={() => then(change('PATCH', path, { disabled: !user.disabled }))}
            onClose={close}
          />
        );
      case 'remove':
        return (
          <Confirm
            title={strings.admin.removeTitle(user.email)}
            text={words.disableText}
            action={strings.admin.remove}
            onYes={() => then(change('DELETE', path))}
            onClose={close}
          />
        );
    }
  }
}

/** What is emptied is sent as empty text: nothing would leave it as it was. */
function changedUser(body: Fields, before: User): Fields {
  return reachChanged(Object.fromEntries(Object.entries(body).map(([name, value]) => [name, value ?? ''])), before);
}

function Person({ name, email }: { name: string; email: string }) {
  return (
    <>
      <strong>{name || email}</strong>
      {name && <small className="quiet"> {email}</small>}
    </>
  );
}

function Status({ user: { disabled, must_change_password } }: { user: User }) {
  const state = disabled ? 'disabled' : must_change_password ? 'oneTime' : 'active';
  return (
    <span className="tag" data-state={state}>
      {words[state]}
    </span>
  );
}

/** The most usual first. Devices and other systems do not log in as people. */
const PEOPLE = [
  'dispatcher',
  'fleet_manager',
  'driver',
  'customer',
  'station_operator',
  'auditor',
  'system_admin',
] as const satisfies readonly Role[];

function userFields(me: LoggedIn, fleets: readonly Choice[]): Field[] {
  const found = (resource: RecordName): Pick<Field, 'kind' | 'lookup'> =>
    may(me, RESOURCES[resource].read) ? { kind: 'lookup', lookup: () => lookupOf(resource) } : { kind: 'text' };
  return [
    { name: 'email', label: words.email, kind: 'email', required: true },
    { name: 'name', label: strings.admin.name, kind: 'text', required: true },
    {
      name: 'role',
      label: words.role,
      kind: 'choice',
      required: true,
      choices: PEOPLE.filter((role) => mayGive(me, role)).map((role) => ({ value: role, label: strings.roles[role] })),
    },
    ...reachFields(me, fleets),
    { name: 'driver_id', label: words.driver, ...found('drivers'), help: words.driverHelp },
    { name: 'customer_id', label: words.customer, ...found('customers'), help: words.customerHelp },
  ];
}
