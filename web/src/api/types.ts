// What the node says about people, credentials, records and the audit. Named like the schemas of its OpenAPI file:
// they go when the client is generated from it.

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

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  fleets: string[];
  all_fleets: boolean;
  /** Which driver or customer it is, where the role is about one's own record only. */
  driver_id: string | null;
  customer_id: string | null;
  must_change_password: boolean;
  totp: boolean;
  recovery_codes_left: number;
  disabled: boolean;
  created_at: Time;
  version: number;
}

/** Who asks. */
export interface Me {
  subject: string;
  role: Role;
  /** Words like `fleet.read`. */
  permissions: string[];
  fleets: string[];
  all_fleets: boolean;
  must_change_password: boolean;
  /** Nobody on a node that asks for no credentials. */
  user: User | null;
}

export interface LoginRequest {
  email: string;
  password: string;
  totp?: string;
  recovery_code?: string;
}

export interface LoginOptions {
  /** What the other provider is called, where there is one. */
  oidc: string | null;
}

export interface PasswordChange {
  current_password: string;
  new_password: string;
}

export interface LoginSession {
  id: string;
  current: boolean;
  created_at: Time;
  seen_at: Time;
  address: string | null;
  agent: string | null;
}

export interface LoginSessions {
  sessions: LoginSession[];
}

export interface TotpSetup {
  secret: string;
  url: string;
}

export interface RecoveryCodes {
  recovery_codes: string[];
}

/** A user with the password that he can log in by once. */
export interface MadeUser {
  user: User;
  one_time_password: string;
}

export interface ApiKey {
  id: string;
  name: string;
  scopes: string[];
  fleets: string[];
  all_fleets: boolean;
  created_by: string;
  created_at: Time;
  expires_at: Time | null;
  last_used_at: Time | null;
}

export interface MadeApiKey {
  key: ApiKey;
  secret: string;
}

export interface DeviceToken {
  id: string;
  kind: string;
  device_id: string;
  created_by: string;
  created_at: Time;
  expires_at: Time | null;
  last_used_at: Time | null;
}

export interface MadeDeviceToken {
  device_token: DeviceToken;
  token: string;
}

export interface Certificate {
  serial: string;
  /** Of the device; none where the certificate names none. */
  kind: string | null;
  id: string | null;
  expires_at: Time;
  revoked_at: Time | null;
}

export interface IssuedCertificate {
  serial: string;
  certificate: string;
  key: string | null;
  authority: string;
}

export interface Fleet {
  id: string;
  name?: string | null;
}

export interface AuditEntry {
  seq: number;
  time_ms: number;
  actor: string;
  action: string;
  subject: string;
  fleet: string | null;
  address: string | null;
  before: unknown;
  after: unknown;
  outcome: 'ok' | 'refused' | 'failed';
}

export interface AuditVerdict {
  sound: boolean;
  entries: number;
  /** The first thing that does not fit. */
  fault: { seq: number; message: string } | null;
}
