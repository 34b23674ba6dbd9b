// Keys for other systems: what each may do, until when, and its token once.

import { useState } from 'react';
import { change } from '../api/client';
import type { ApiKey, MadeApiKey, Me } from '../api/types';
import { localTime } from '../format';
import { Confirm } from '../page/Confirm';
import { FormDialog } from '../page/Form';
import { type Choice, type Field, type Fields, newBody } from '../page/fields';
import { type Secret, SecretDialog } from '../page/Secret';
import { type Action, Nothing, Table } from '../page/Table';
import { strings } from '../strings';
import { Head } from './Head';
import { fleetsOf, reachFields, reachSent, reachStart } from './reach';
import { useFleets, useList } from './useList';

const words = strings.admin.keys;
const section = strings.admin.sections.keys;
const one = strings.admin.one.keys;
/** The other system needs a while to take the new one. */
const GRACE_S = 3_600;
type Open = { what: 'new' } | { what: 'rotate' | 'revoke'; key: ApiKey };

export function ApiKeys({ me }: { me: Me }) {
  const [open, setOpen] = useState<Open | null>(null);
  const [secret, setSecret] = useState<Secret | null>(null);
  const list = useList<ApiKey>('api-keys');
  const fleets = useFleets(me);
  const add = { label: strings.admin.add(one), act: () => setOpen({ what: 'new' }) };
  const actions = (key: ApiKey): Action[] => [
    { label: words.rotate, act: () => setOpen({ what: 'rotate', key }) },
    { label: words.revoke, danger: true, act: () => setOpen({ what: 'revoke', key }) },
  ];
  return (
    <>
      <Head title={section} add={add} />
      <Table
        label={section}
        answered={list}
        onPage={list.onPage}
        idOf={({ id }) => id}
        nameOf={({ name }) => name}
        columns={[
          { label: strings.admin.name, cell: ({ name }) => <strong>{name}</strong> },
          { label: words.scopes, cell: ({ scopes }) => scopes.join(', ') },
          { label: strings.admin.users.fleets, cell: (key) => fleetsOf(key, fleets) },
          { label: strings.admin.lastUsed, cell: ({ last_used_at: at }) => (at ? localTime(at) : strings.page.never) },
          { label: strings.admin.expires, cell: ({ expires_at: at }) => (at ? localTime(at) : strings.page.never) },
        ]}
        actions={actions}
        empty={<Nothing text={strings.admin.empty(section)} action={add.label} act={add.act} />}
      />
      {open && dialogOf(open)}
      {secret && <SecretDialog secret={secret} onClose={() => setSecret(null)} />}
    </>
  );

  function dialogOf(open: Open) {
    const close = () => setOpen(null);
    const shown = async (name: string, doing: Promise<MadeApiKey>) => {
      const { secret } = await doing;
      list.again();
      setSecret({ title: words.tokenTitle(name), parts: [{ label: words.token, text: secret }] });
    };
    if (open.what === 'new') {
      const fields = keyFields(me, fleets);
      const make = (body: Fields) => shown(String(body.name), change('POST', 'api-keys', body));
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
    const { key } = open;
    const path = `api-keys/${encodeURIComponent(key.id)}`;
    return open.what === 'rotate' ? (
      <Confirm
        title={words.rotateTitle(key.name)}
        text={words.rotateText}
        action={words.rotate}
        onYes={() => shown(key.name, change('POST', `${path}/rotate`, { grace_s: GRACE_S }))}
        onClose={close}
      />
    ) : (
      <Confirm
        title={words.revokeTitle(key.name)}
        text={words.revokeText}
        action={words.revoke}
        onYes={async () => {
          await change('DELETE', path);
          list.again();
        }}
        onClose={close}
      />
    );
  }
}

/** Nobody gives what he does not have. */
function keyFields(me: Me, fleets: readonly Choice[]): Field[] {
  const scopes = me.permissions.map((word) => ({ value: word, label: word }));
  return [
    { name: 'name', label: strings.admin.name, kind: 'text', required: true },
    { name: 'expires_in_days', label: words.days, kind: 'number', min: 1, help: words.daysHelp },
    ...reachFields(me, fleets),
    { name: 'scopes', label: words.scopes, kind: 'choices', required: true, choices: scopes, help: words.scopesHelp },
  ];
}
