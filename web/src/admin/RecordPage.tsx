// One record with everything in it, what refers to it, and what can be done with it.

import { Button, IconButton, Menu, MenuItem, Skeleton } from '@mui/material';
import { type ReactNode, useCallback, useState } from 'react';
import { address, readList, readMarked } from '../api/client';
import type { Me } from '../api/types';
import { localTime, whole } from '../format';
import { BackIcon, MoreIcon } from '../icons';
import type { Fields } from '../page/fields';
import { Failed, Trouble } from '../page/Trouble';
import { useAnswer, useChange } from '../page/useAnswer';
import { may, mayChange, mayMake, maySee, SECTIONS } from '../session/may';
import { pageAddress } from '../session/route';
import { strings } from '../strings';
import { cellOf, Erased, isEmpty, Named, Place, Status } from './cells';
import { DeliveryEvents, Steps } from './DeliveryEvents';
import { type Definition, RESOURCES, type RecordName, type Resource, referrers } from './definitions';
import { idsIn, nameOf, remember, useNames } from './names';
import { EraseDialog, savePerson } from './Person';
import { type Marked, RecordForm, recordPath } from './RecordForm';
import { RemoveRecord } from './Records';
import { labelOf, SHOWN } from './shown';

const words = strings.admin;
const more = strings.admin.records;

type Open = 'edit' | 'erase' | 'remove';

export function RecordPage({ me, section, id }: { me: Me; section: RecordName; id: string }) {
  const resource = RESOURCES[section];
  const path = recordPath(resource, id);
  const ask = useCallback(() => readMarked<Fields>(path), [path]);
  const answered = useAnswer<Marked>(ask);
  const list = pageAddress({ name: 'admin', section });
  const { data, problem, again } = answered;
  return (
    <>
      <nav className="crumbs" aria-label={more.where}>
        <a href={list}>
          <BackIcon size={16} /> {words.sections[section]}
        </a>
      </nav>
      {problem && <Failed problem={problem} again={again} />}
      {!data && !problem && <Skeleton height={220} aria-label={strings.page.loading} />}
      {data && <Whole me={me} resource={resource} marked={data} again={again} list={list} />}
    </>
  );
}

interface WholeProps {
  me: Me;
  resource: Resource;
  marked: Marked;
  again: () => void;
  list: string;
}

function Whole({ me, resource, marked, again, list }: WholeProps) {
  const { record } = marked;
  const { name: section } = resource;
  remember(section, record);
  useNames(idsIn(section, [record]), (permission) => may(me, permission));
  const fields = resource.fields.filter(({ kind }) => kind !== 'list');
  const [held, empty] = [false, true].map((none) => fields.filter(({ name }) => isEmpty(record[name]) === none));
  return (
    <>
      <Title me={me} resource={resource} marked={marked} again={again} list={list} />
      <div className="record">
        <div className="record-main">
          {resource.transitions && <Steps me={me} record={record} onDone={again} />}
          <section className="box card" aria-label={more.fields}>
            <dl className="record-facts">
              {held!.map((field) => (
                <Fact key={field.name} label={labelOf(field.name)}>
                  {cellOf(me, section, field, record, true)}
                </Fact>
              ))}
            </dl>
            {empty!.length > 0 && (
              <p className="quiet small">{more.emptyFields(empty!.map(({ name }) => labelOf(name)).join(', '))}</p>
            )}
            <p className="quiet small">
              {more.about(
                String(record.id),
                localTime(String(record.created_at)),
                localTime(String(record.updated_at)),
                whole(Number(record.version)),
              )}
            </p>
          </section>
          {resource.fields
            .filter(({ kind }) => kind === 'list')
            .map((field) => (
              <ListOf key={field.name} me={me} field={field} record={record} />
            ))}
        </div>
        <div className="record-side">
          {resource.transitions && <DeliveryEvents me={me} record={record} />}
          <Related me={me} resource={resource} record={record} />
        </div>
      </div>
    </>
  );
}

function Title({ me, resource, marked, again, list }: WholeProps) {
  const [open, setOpen] = useState<Open | null>(null);
  const [menu, setMenu] = useState<HTMLElement | null>(null);
  const { busy, problem, run } = useChange();
  const { record } = marked;
  const { name: section, erasure } = resource;
  const id = String(record.id);
  const name = nameOf(section, record);
  const manages = erasure !== null && may(me, 'persons.manage');
  const make = mayMake(me, resource);
  const close = () => setOpen(null);
  const act = (what: () => void) => () => {
    setMenu(null);
    what();
  };
  return (
    <>
      <div className="list-head record-head">
        <h2>{name}</h2>
        {record.erased === true ? <Erased /> : record.status ? <Status status={String(record.status)} /> : null}
        <span className="fill" />
        {resource.asset && may(me, 'live.read') && (
          <Button variant="outlined" color="inherit" href={`#${resource.asset}/${encodeURIComponent(id)}`}>
            {more.onMap}
          </Button>
        )}
        {mayChange(me, section) && (
          <Button variant="contained" onClick={() => setOpen('edit')}>
            {words.edit}
          </Button>
        )}
        {(manages || make) && (
          <IconButton
            aria-label={strings.page.actions(name)}
            aria-haspopup="menu"
            disabled={busy}
            onClick={(event) => setMenu(event.currentTarget)}
          >
            <MoreIcon size={18} />
          </IconButton>
        )}
        <Menu anchorEl={menu} open={menu !== null} onClose={() => setMenu(null)}>
          {manages && [
            <MenuItem key="export" dense onClick={act(() => void run(() => savePerson(resource, id)))}>
              {strings.admin.person.export}
            </MenuItem>,
            <MenuItem key="erase" dense sx={{ color: 'error.main' }} onClick={act(() => setOpen('erase'))}>
              {strings.admin.person.eraseMenu}
            </MenuItem>,
          ]}
          {make && (
            <MenuItem dense sx={{ color: 'error.main' }} onClick={act(() => setOpen('remove'))}>
              {words.remove}
            </MenuItem>
          )}
        </Menu>
      </div>
      {problem && <Trouble problem={problem} />}
      {open === 'edit' && <RecordForm me={me} resource={resource} marked={marked} onDone={again} onClose={close} />}
      {open === 'erase' && <EraseDialog resource={resource} record={record} onDone={again} onClose={close} />}
      {open === 'remove' && (
        <RemoveRecord section={section} record={record} onDone={() => location.replace(list)} onClose={close} />
      )}
    </>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** The items of a list, in their order. */
function ListOf({ me, field, record }: { me: Me; field: Definition; record: Fields }) {
  const items = (record[field.name] ?? []) as Fields[];
  const label = labelOf(field.name);
  return (
    <section className="box card" aria-label={label}>
      <h3>
        {label} ({whole(items.length)})
      </h3>
      {items.length === 0 && <p className="quiet">{more.noItems}</p>}
      <ol className="stops">
        {items.map((item, n) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: items have no ids and are only shown
          <li key={n}>
            <strong>{String(item.name ?? more.nth(n + 1))}</strong>{' '}
            {item.outcome ? <Status status={String(item.outcome)} /> : null}
            <ItemFacts me={me} field={field} item={item} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function ItemFacts({ me, field, item }: { me: Me; field: Definition; item: Fields }) {
  const unsaid = ['name', 'latitude', 'longitude', 'sequence'];
  const shown = field.items.filter(({ name }) => !unsaid.includes(name) && !isEmpty(item[name]));
  const { latitude, longitude } = item;
  return (
    <small className="quiet item-facts">
      {shown.map((one) => (
        <span key={one.name}>
          {labelOf(one.name)}:{' '}
          {one.references ? (
            <Named me={me} resource={one.references} id={String(item[one.name])} />
          ) : (
            cellOf(me, 'routes', one, item)
          )}
        </span>
      ))}
      {typeof latitude === 'number' && typeof longitude === 'number' && <Place me={me} {...{ latitude, longitude }} />}
    </small>
  );
}

interface Relation {
  label: string;
  href: string;
  /** Where they are counted. */
  counted: string;
}

/** What names this record, as ways to lists of it. */
function Related({ me, resource, record }: { me: Me; resource: Resource; record: Fields }) {
  const id = String(record.id);
  const relations = relationsOf(me, resource, record, id);
  if (relations.length === 0) return null;
  return (
    <section className="box card" aria-label={more.related}>
      <h3>{more.related}</h3>
      <ul className="related">
        {relations.map((relation) => (
          <Counted key={relation.counted} {...relation} />
        ))}
      </ul>
    </section>
  );
}

function relationsOf(me: Me, resource: Resource, record: Fields, id: string): Relation[] {
  const records = referrers(resource.name)
    .filter(({ resource: other }) => maySee(me, other.name))
    .sort((a, b) => SECTIONS.indexOf(a.resource.name) - SECTIONS.indexOf(b.resource.name))
    .map(({ resource: other, field }) => ({
      label: words.sections[other.name],
      href: pageAddress({ name: 'admin', section: other.name, asked: new URLSearchParams({ [field]: id }).toString() }),
      counted: address(other.name, { [field]: id, limit: 1 }),
    }));
  const asset = assetOf(resource, record);
  if (!asset || !may(me, 'devices.manage')) return records;
  const asked = new URLSearchParams(asset).toString();
  const credentials = (['device-tokens', 'certificates'] as const).map((what) => ({
    label: strings.admin.devices[what === 'certificates' ? 'certificates' : 'tokens'],
    href: pageAddress({ name: 'admin', section: 'credentials', asked }),
    counted: address(what, { ...asset, limit: 1 }),
  }));
  return [...records, ...credentials];
}

/** The asset that a record is, or reports for: what credentials are for. */
function assetOf(resource: Resource, record: Fields): { kind: string; id: string } | null {
  if (resource.asset) return { kind: resource.asset, id: String(record.id) };
  const [field, kind] = Object.entries(SHOWN[resource.name].assets ?? {})[0] ?? [];
  return field && kind ? { kind: String(record[kind]), id: String(record[field]) } : null;
}

function Counted({ label, href, counted }: Relation) {
  const ask = useCallback((signal: AbortSignal) => readList(counted, signal), [counted]);
  const { data } = useAnswer(ask);
  const total = data?.pagination?.total;
  return (
    <li>
      <a href={href}>{label}</a>
      <span className="quiet numbers">{total === undefined ? '' : whole(total)}</span>
    </li>
  );
}
