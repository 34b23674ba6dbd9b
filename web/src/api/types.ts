// What the node says about people, credentials, records and the audit: names of the page for the schemas of the node's
// description, from which shared/api.ts is made.

import type { components } from '../../shared/api';

type Schemas = components['schemas'];

/** RFC 3339. */
export type Time = string;

export interface Pagination {
  page: number;
  limit: number;
  total: number;
}

export interface ErrorBody {
  code: string;
  message: string;
  help?: string;
  details?: { field?: string };
}

export const ROLES = [
  'system_admin',
  'fleet_manager',
  'dispatcher',
  'driver',
  'customer',
  'station_operator',
  'auditor',
  'integration',
  'device',
] as const;
export type Role = (typeof ROLES)[number];

export type User = Schemas['UserView'];

export type Me = Schemas['Me'];

export type LoginRequest = Schemas['LoginRequest'];

export type LoginOptions = Schemas['LoginOptions'];

export type PasswordChange = Schemas['PasswordChange'];

export type LoginSession = Schemas['SessionView'];

export type LoginSessions = Schemas['Sessions'];

export type TotpSetup = Schemas['TotpSetup'];

export type RecoveryCodes = Schemas['RecoveryCodes'];

export type MadeUser = Schemas['MadeUser'];

export type ApiKey = Schemas['KeyView'];

export type MadeApiKey = Schemas['MadeKey'];

export type DeviceToken = Schemas['TokenView'];

export type MadeDeviceToken = Schemas['MadeToken'];

export type Certificate = Schemas['CertificateView'];

export type IssuedCertificate = Schemas['IssuedCertificate'];

export type Fleet = Schemas['Fleet'];

export type AuditEntry = Schemas['AuditEntry'];

export type AuditVerdict = Schemas['AuditVerdict'];

export type ImportReport = Schemas['ImportReport'];

export type DeliveryEvent = Schemas['DeliveryEvent'];

export type ErasureReport = Schemas['ErasureReport'];
