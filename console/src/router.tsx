/** Where we are: the address holds the state, so that it can be sent to a colleague. */
import { type AnchorHTMLAttributes, useMemo, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

function tell() {
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", tell);

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

const address = () => location.pathname + location.search;

export function go(to: string, how: "push" | "replace" = "push") {
  if (to === address()) return;
  if (how === "push") history.pushState(null, "", to);
  else history.replaceState(null, "", to);
  tell();
}

export interface Place {
  path: string;
  /** The path's parts, decoded. */
  parts: string[];
  query: URLSearchParams;
}

export function usePlace(): Place {
  const at = useSyncExternalStore(subscribe, address);
  return useMemo(() => {
    const url = new URL(at, location.origin);
    const parts = url.pathname.split("/").filter(Boolean).map(decoded);
    return { path: url.pathname, parts, query: url.searchParams };
  }, [at]);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody typed a lone %
  }
}

/** Change some of the query and keep the rest; null takes a name away. */
export function setQuery(changes: Record<string, string | null>, how: "push" | "replace" = "push") {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text && `?${text}`), how);
}

export const to = {
  entity: (kind: string, id: string) => `/entity/${kind}/${encodeURIComponent(id)}`,
  decision: (id: string) => `/case/${encodeURIComponent(id)}`,
};

export function Link({ href, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement>) {
  return (
    <a
      href={href}
      {...rest}
      onClick={(event) => {
        rest.onClick?.(event);
        const isPlain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
        if (!href || event.defaultPrevented || event.button !== 0 || !isPlain) return;
        event.preventDefault();
        go(href);
      }}
    />
  );
}
