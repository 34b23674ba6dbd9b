// One way to ask the node: envelopes opened, problems as values, and word to whoever minds that somebody is not
// logged in (any more). Nothing of what is asked for.

import { strings } from '../strings';
import type { ErrorBody, Pagination } from './types';

/** What the node found wrong. */
export interface Problem extends ErrorBody {
  /** HTTP status; none when nobody answered. */
  status?: number;
  /** Seconds until the same request may pass. */
  retryAfterS?: number;
}

/** The node's answer when it is not the one that was asked for. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

export interface Listed<Row> {
  rows: Row[];
  pagination: Pagination | null;
  /** Where lists without pages go on. */
  next: number | null;
}

interface Envelope<Data> {
  data?: Data;
  meta?: { pagination?: Partial<Pagination> & { next?: number | null } };
}

export type Parameters = Record<string, string | number | null | undefined>;

const BASE = '/api/v1/';
/** Set by whoever keeps the login; told of each answer 401. */
export const guard = { unauthorized: () => {} };

/** `users` and what is not empty of `{page: 2}` → `/api/v1/users?page=2` */
export function address(path: string, parameters: Parameters = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') asked.set(name, String(value));
  }
  return `${BASE}${path}${asked.size > 0 ? `?${asked}` : ''}`;
}

/** The body of a good answer as it is; fails with `Refused`, or with an `AbortError` when it was called off. */
export async function ask<Answer>(url: string, signal?: AbortSignal): Promise<Answer> {
  return body(await send(url, signal ? { signal } : {}));
}

/** What an envelope holds. */
export async function read<Data>(path: string, signal?: AbortSignal): Promise<Data> {
  return opened(await ask<Envelope<Data>>(address(path), signal));
}

/** A list, and where it goes on. */
export async function readList<Row>(url: string, signal?: AbortSignal): Promise<Listed<Row>> {
  const answer = await ask<Envelope<Row[]>>(url, signal);
  const { page, limit, total, next = null } = answer.meta?.pagination ?? {};
  const paged = page !== undefined && limit !== undefined && total !== undefined;
  return { rows: opened(answer), pagination: paged ? { page, limit, total } : null, next };
}

/** A record and the mark of its version, which `change` takes to refuse when somebody else was faster. */
export async function readMarked<Data>(path: string): Promise<{ record: Data; mark: string | null }> {
  const answer = await send(address(path), {});
  return { record: opened(await body<Envelope<Data>>(answer)), mark: answer.headers.get('etag') };
}

export type Method = 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Changes something. The header keeps other pages from doing it with this page's cookie. */
export async function change<Data>(method: Method, path: string, sent?: unknown, mark?: string | null): Promise<Data> {
  const headers: Record<string, string> = { 'X-Drover-Request': '1' };
  if (sent !== undefined) headers['content-type'] = 'application/json';
  if (mark) headers['if-match'] = mark;
  const request = { method, headers, ...(sent === undefined ? {} : { body: JSON.stringify(sent) }) };
  return opened(await body<Envelope<Data>>(await send(address(path), request)));
}

/** Sends a text of another type: a file. */
export async function sendText<Data>(path: string, text: string | Blob, type: string): Promise<Data> {
  const headers = { 'X-Drover-Request': '1', 'content-type': type };
  return opened(await body<Envelope<Data>>(await send(address(path), { method: 'POST', headers, body: text })));
}

async function send(url: string, request: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, request);
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Refused({ code: 'unreachable', message: strings.history.unreachable });
  }
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (answer.status === 401) guard.unauthorized();
  throw new Refused(problem);
}

/** Nothing for 204. */
async function body<Answer>(answer: Response): Promise<Answer> {
  return (answer.status === 204 ? {} : await answer.json()) as Answer;
}

function opened<Data>(answer: Envelope<Data>): Data {
  return 'data' in answer ? (answer.data as Data) : (answer as Data);
}

async function problemOf(answer: Response): Promise<Problem> {
  const { status } = answer;
  const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
  const rest = Number.isFinite(seconds) ? { status, retryAfterS: seconds } : { status };
  try {
    const { error } = (await answer.json()) as { error: ErrorBody };
    if (error?.message) return { ...error, ...rest };
  } catch {
    // Not the node's own answer: something between it and the page.
  }
  return { code: 'status', message: strings.history.status(status), ...rest };
}

/** What went wrong, for people; what is no answer of the node is a fault of the page and thrown on. */
export function problemIn(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  throw error;
}
