// Records of every sort, to look at.

import type { Drover } from './drover';
import { api, type Person } from './secured';

/** A little of everything, with long names. */
export async function fill(drover: Drover, admin: Person): Promise<void> {
  const make = await api(drover, admin);
  await make('POST', 'organisations', { id: 'o-1', name: 'Carriers of the greater metropolitan area of Porto' });
  await make('POST', 'fleets', { id: 'f-1', name: 'North', organisation_id: 'o-1', region: 'Porto' });
  const place = { latitude: 41.15, longitude: -8.61, fleet_id: 'f-1' };
  await make('POST', 'depots', { id: 'dep-1', name: 'Harbour', address: 'Rua do Porto de Leixões 117', ...place });
  await make('POST', 'stations', { id: 's-1', name: 'Ribeira', capacity: 12, region: 'Old town', ...place });
  const registration = 'A registration far too long';
  await make('POST', 'vehicles', {
    ...{ id: 'v-with-a-very-long-identifier-of-its-own', registration_number: registration },
    ...{ fleet_id: 'f-1', class: 'van', attributes: { colour: 'white', notes: 'x'.repeat(80) } },
  });
  const vehicle_id = 'v-with-a-very-long-identifier-of-its-own';
  await make('POST', 'drivers', { id: 'd-1', name: 'Dora Dias', phone: '+351 210 000 000', fleet_id: 'f-1' });
  await make('POST', 'assignments', { driver_id: 'd-1', vehicle_id, starts_at: '2026-01-31T08:00:00Z' });
  await make('POST', 'maintenance', { vehicle_id, date: '2026-11-01', kind: 'tyres', cost: 180.5 });
  await make('POST', 'devices', { asset_kind: 'vehicle', asset_id: vehicle_id, name: 'Tracker', fleet_id: 'f-1' });
  await make('POST', 'customers', { id: 'c-1', name: 'Carla Costa', email: 'carla@example.com', fleet_id: 'f-1' });
  const stops = [{ sequence: 1, name: 'Ribeira', station_id: 's-1', latitude: 41.15, longitude: -8.61 }];
  await make('POST', 'routes', {
    id: 'r-1',
    name: 'Morning',
    date: '2026-11-23',
    driver_id: 'd-1',
    fleet_id: 'f-1',
    stops,
  });
  await make('POST', 'deliveries', { id: 'del-1', order_id: 'order-1', customer_id: 'c-1', fleet_id: 'f-1' });
  await make('PUT', 'deliveries/del-1/status', { status: 'assigned', driver_id: 'd-1', note: 'note '.repeat(30) });
}
