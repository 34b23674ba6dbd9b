// What devices prove themselves by: tokens and certificates. Secrets are shown once.

import { useState } from 'react';
import { change } from '../api/client';
import type { Certificate, DeviceToken, IssuedCertificate, MadeDeviceToken } from '../api/types';
import { localTime } from '../format';
import { KINDS } from '../live/wire';
import { Confirm } from '../page/Confirm';
import { FormDialog } from '../page/Form';
import { type Field, type Fields, newBody } from '../page/fields';
import { type Secret, SecretDialog } from '../page/Secret';
import { Nothing, Table } from '../page/Table';
import { strings } from '../strings';
import { Head } from './Head';
import { useList } from './useList';

const words = strings.admin.devices;
const YEAR_DAYS = 365;

const ASSET: Field[] = [
  {
    name: 'kind',
    label: words.kind,
    kind: 'choice',
    required: true,
    choices: KINDS.map((kind) => ({ value: kind, label: strings.kind[kind] })),
  },
  { name: 'id', label: strings.admin.id, kind: 'text', required: true },
];
const TOKEN_FIELDS: Field[] = [
  ...ASSET,
  {
    name: 'expires_in_days',
    label: strings.admin.keys.days,
    kind: 'number',
    min: 1,
    help: strings.admin.keys.daysHelp,
  },
];
const CERTIFICATE_FIELDS: Field[] = [
  ...ASSET,
  { name: 'days', label: words.days, kind: 'number', min: 1, max: 10 * YEAR_DAYS, required: true },
];

type Revoked = { name: string; path: string };

export function Devices() {
  const [secret, setSecret] = useState<Secret | null>(null);
  return (
    <>
      <Tokens onSecret={setSecret} />
      <Certificates onSecret={setSecret} />
      {secret && <SecretDialog secret={secret} onClose={() => setSecret(null)} />}
    </>
  );
}

interface Part {
  onSecret: (secret: Secret) => void;
}

function Tokens({ onSecret }: Part) {
  const list = useList<DeviceToken>('device-tokens');
  const [adding, setAdding] = useState(false);
  const [revoked, setRevoked] = useState<Revoked | null>(null);
  const add = { label: strings.admin.add(words.token), act: () => setAdding(true) };
  const make = async (body: object) => {
    const made = await change<MadeDeviceToken>('POST', 'device-tokens', body);
    list.again();
    const title = strings.admin.keys.tokenTitle(deviceOf(made.device_token));
    onSecret({ title, parts: [{ label: strings.admin.keys.token, text: made.token }] });
  };
  return (
    <>
      <Head title={words.tokens} add={add} />
      <Table
        label={words.tokens}
        answered={list}
        onPage={list.onPage}
        idOf={({ id }) => id}
        nameOf={deviceOf}
        columns={[
          { label: words.device, cell: (token) => <strong>{deviceOf(token)}</strong> },
          { label: strings.admin.created, cell: ({ created_at }) => localTime(created_at) },
          { label: strings.admin.lastUsed, cell: ({ last_used_at: at }) => (at ? localTime(at) : strings.page.never) },
          { label: strings.admin.expires, cell: ({ expires_at: at }) => (at ? localTime(at) : strings.page.never) },
        ]}
        actions={(token) => [
          {
            label: strings.admin.keys.revoke,
            danger: true,
            act: () => setRevoked({ name: deviceOf(token), path: `device-tokens/${encodeURIComponent(token.id)}` }),
          },
        ]}
        empty={<Nothing text={strings.admin.empty(words.tokens.toLowerCase())} action={add.label} act={add.act} />}
      />
      {adding && (
        <FormDialog
          title={strings.admin.addTitle(words.token)}
          fields={TOKEN_FIELDS}
          onSend={(values) => make(newBody(TOKEN_FIELDS, values))}
          onClose={() => setAdding(false)}
        />
      )}
      {revoked && <Revoke {...revoked} onDone={list.again} onClose={() => setRevoked(null)} />}
    </>
  );
}

function Certificates({ onSecret }: Part) {
  const list = useList<Certificate>('certificates');
  const [adding, setAdding] = useState(false);
  const [revoked, setRevoked] = useState<Revoked | null>(null);
  const add = { label: words.issue, act: () => setAdding(true) };
  const issue = async (body: Fields) => {
    const issued = await change<IssuedCertificate>('POST', 'certificates', body);
    list.again();
    const file = `${body.kind}-${body.id}`;
    const key = issued.key ?? '';
    onSecret({
      title: words.issued(`${body.kind}/${body.id}`),
      parts: [
        { label: words.privateKeyPem, text: key, file: `${file}.key.pem` },
        { label: words.certificatePem, text: issued.certificate, file: `${file}.pem` },
        { label: words.authorityPem, text: issued.authority, file: 'drover-authority.pem' },
      ].filter(({ text }) => text !== ''),
    });
  };
  return (
    <>
      <Head title={words.certificates} add={add} />
      <Table
        label={words.certificates}
        answered={list}
        onPage={list.onPage}
        idOf={({ serial }) => serial}
        nameOf={holderOf}
        columns={[
          { label: words.device, cell: (one) => <strong>{holderOf(one)}</strong> },
          { label: words.serial, cell: ({ serial }) => <code>{serial}</code> },
          { label: words.validUntil, cell: ({ expires_at }) => localTime(expires_at) },
          { label: strings.admin.status, cell: ({ revoked_at: at }) => <Validity revokedAt={at} /> },
        ]}
        actions={(one) =>
          one.revoked_at
            ? []
            : [
                {
                  label: strings.admin.keys.revoke,
                  danger: true,
                  act: () =>
                    setRevoked({ name: holderOf(one), path: `certificates/${encodeURIComponent(one.serial)}` }),
                },
              ]
        }
        empty={
          <Nothing text={strings.admin.empty(words.certificates.toLowerCase())} action={add.label} act={add.act} />
        }
      />
      {adding && (
        <FormDialog
          title={words.issue}
          fields={CERTIFICATE_FIELDS}
          record={{ kind: KINDS[0], days: YEAR_DAYS }}
          submit={words.issue}
          onSend={(values) => issue(newBody(CERTIFICATE_FIELDS, values))}
          onClose={() => setAdding(false)}
        />
      )}
      {revoked && <Revoke {...revoked} onDone={list.again} onClose={() => setRevoked(null)} />}
    </>
  );
}

function Revoke({ name, path, onDone, onClose }: Revoked & { onDone: () => void; onClose: () => void }) {
  const revoke = async () => {
    await change('DELETE', path);
    onDone();
  };
  return (
    <Confirm
      title={strings.admin.keys.revokeTitle(name)}
      text={words.revokeText}
      action={strings.admin.keys.revoke}
      onYes={revoke}
      onClose={onClose}
    />
  );
}

function Validity({ revokedAt }: { revokedAt: string | null | undefined }) {
  return (
    <span className="tag" data-state={revokedAt ? 'disabled' : 'active'}>
      {revokedAt ? words.revokedAt(localTime(revokedAt)) : words.valid}
    </span>
  );
}

function holderOf({ kind, id, serial }: Certificate): string {
  return kind && id ? `${kind}/${id}` : serial;
}

function deviceOf({ kind, device_id }: DeviceToken): string {
  return `${kind}/${device_id}`;
}
