// What devices prove themselves by: tokens and certificates, of all or of one asset. Secrets are shown once.

import { useMemo, useState } from 'react';
import { change } from '../api/client';
import type { Certificate, DeviceToken, IssuedCertificate, MadeDeviceToken, Me } from '../api/types';
import { localTime } from '../format';
import { KINDS } from '../live/wire';
import { Confirm } from '../page/Confirm';
import { FormDialog } from '../page/Form';
import { type Field, type Fields, newBody } from '../page/fields';
import { type Secret, SecretDialog } from '../page/Secret';
import { Nothing, Table } from '../page/Table';
import { may } from '../session/may';
import { pageAddress } from '../session/route';
import { strings } from '../strings';
import { Head } from './Head';
import { assetLookup, assetResource, knownName, useNames, type Wanted } from './names';
import { useList } from './useList';

const words = strings.admin.devices;
const YEAR_DAYS = 365;

/** The asset that a credential is for, found by its name where it has a record. */
function assetFields(me: Me): Field[] {
  return [
    {
      name: 'kind',
      label: words.kind,
      kind: 'choice',
      required: true,
      choices: KINDS.map((kind) => ({ value: kind, label: strings.kind[kind] })),
    },
    {
      name: 'id',
      label: words.asset,
      kind: 'lookup',
      required: true,
      lookup: ({ kind }) => assetLookup(String(kind), (permission) => may(me, permission)),
      help: words.assetHelp,
    },
  ];
}

const TOKEN_FIELDS: Field[] = [
  {
    name: 'expires_in_days',
    label: strings.admin.keys.days,
    kind: 'number',
    min: 1,
    help: strings.admin.keys.daysHelp,
  },
];
const CERTIFICATE_FIELDS: Field[] = [
  { name: 'days', label: words.days, kind: 'number', min: 1, max: 10 * YEAR_DAYS, required: true },
];

type Revoked = { name: string; path: string };
/** The one asset whose credentials are shown; all without. */
type Of = { kind: string; id: string } | null;

export function Credentials({ me, asked: text }: { me: Me; asked: string }) {
  const [secret, setSecret] = useState<Secret | null>(null);
  const of = useMemo(() => ofAsked(text), [text]);
  useNames(of ? wantedOf(of.kind, of.id) : [], (permission) => may(me, permission));
  return (
    <>
      {of && (
        <p className="narrowed">
          {words.of(strings.kind[of.kind as keyof typeof strings.kind] ?? of.kind, assetName(of.kind, of.id))}{' '}
          <a href={pageAddress({ name: 'admin', section: 'credentials' })}>{strings.admin.records.showAll}</a>
        </p>
      )}
      <Tokens me={me} of={of} onSecret={setSecret} />
      <Certificates me={me} of={of} onSecret={setSecret} />
      {secret && <SecretDialog secret={secret} onClose={() => setSecret(null)} />}
    </>
  );
}

function ofAsked(text: string): Of {
  const asked = new URLSearchParams(text);
  const [kind, id] = [asked.get('kind'), asked.get('id')];
  return kind && id ? { kind, id } : null;
}

function wantedOf(kind: string, id: string): Wanted {
  const resource = assetResource(kind);
  return resource ? [[resource, id]] : [];
}

function assetName(kind: string, id: string): string {
  const resource = assetResource(kind);
  return resource ? knownName(resource, id) : id;
}

interface Part {
  me: Me;
  of: Of;
  onSecret: (secret: Secret) => void;
}

function Tokens({ me, of, onSecret }: Part) {
  const list = useList<DeviceToken>('device-tokens', of ?? {});
  const fields = useMemo(() => [...assetFields(me), ...TOKEN_FIELDS], [me]);
  const rows = list.data?.rows ?? [];
  const wanted = rows.flatMap(({ kind, device_id }) => wantedOf(kind, device_id));
  useNames(wanted, (permission) => may(me, permission));
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
          {
            label: words.device,
            cell: (token) => <Holder name={assetName(token.kind, token.device_id)} asset={deviceOf(token)} />,
          },
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
          fields={fields}
          start={of}
          onSend={(values) => make(newBody(fields, values))}
          onClose={() => setAdding(false)}
        />
      )}
      {revoked && <Revoke {...revoked} onDone={list.again} onClose={() => setRevoked(null)} />}
    </>
  );
}

function Certificates({ me, of, onSecret }: Part) {
  const list = useList<Certificate>('certificates', of ?? {});
  const fields = useMemo(() => [...assetFields(me), ...CERTIFICATE_FIELDS], [me]);
  const rows = list.data?.rows ?? [];
  const wanted = rows.flatMap(({ kind, id }) => (kind && id ? wantedOf(kind, id) : []));
  useNames(wanted, (permission) => may(me, permission));
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
          {
            label: words.device,
            cell: (one) => <Holder name={assetName(one.kind ?? '', one.id ?? '')} asset={holderOf(one)} />,
          },
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
          fields={fields}
          start={{ days: YEAR_DAYS, ...of }}
          submit={words.issue}
          onSend={(values) => issue(newBody(fields, values))}
          onClose={() => setAdding(false)}
        />
      )}
      {revoked && <Revoke {...revoked} onDone={list.again} onClose={() => setRevoked(null)} />}
    </>
  );
}

function Holder({ name, asset }: { name: string; asset: string }) {
  return (
    <>
      <strong>{name || asset}</strong>
      <small className="quiet">{asset}</small>
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
