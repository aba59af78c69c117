/** Asks the API; what it refuses comes as a `Problem`. */

/** RFC 9457. */
interface Told {
  title: string;
  detail: string;
}

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail);
  }
}

type Value = string | number | boolean | null | undefined;
export type Query = Record<string, Value | string[]>;

export function addressOf(path: string, query: Query = {}): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) found.append(name, String(one));
  }
  const text = found.toString();
  return path + (text && `?${text}`);
}

async function answer<T>(asked: Promise<Response>): Promise<T> {
  let response: Response;
  try {
    response = await asked;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "Not reached", "The server cannot be reached.");
  }
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T;
  const said = (await response.json().catch(() => ({}))) as Partial<Told>;
  throw new Problem(
    response.status,
    said.title ?? "Error",
    said.detail ?? `The server answered ${response.status}.`,
  );
}

export function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return answer<T>(fetch(addressOf(path, query), { signal: signal ?? null }));
}

/** isLast: sent even though the page is being left. */
export function send<T>(
  method: "POST" | "DELETE" | "PATCH",
  path: string,
  body?: unknown,
  isLast = false,
): Promise<T> {
  return answer<T>(
    fetch(path, {
      method,
      keepalive: isLast,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    }),
  );
}

export const post = <T>(path: string, body?: unknown) => send<T>("POST", path, body);
