/** Who is signed in, and what they may do. */
import { QueryClient, useQuery } from "@tanstack/react-query";
import { get, Problem } from "./api/client";
import type { Caller, Now } from "./api/types";

function isWorthTrying(failures: number, error: Error): boolean {
  const status = error instanceof Problem ? error.status : 0;
  return failures < 2 && (status === 0 || status >= 500);
}

export const client = new QueryClient({
  defaultOptions: { queries: { staleTime: 5_000, retry: isWorthTrying, retryDelay: 700 } },
});

// A session that ended shows itself on whatever is asked next.
client.getQueryCache().subscribe(({ query }) => {
  const { error } = query.state;
  const isOver = error instanceof Problem && error.status === 401;
  if (isOver && query.queryKey[0] !== "session") client.setQueryData(["session"], null);
});

/** null: nobody; undefined: not known yet. */
export function useSession() {
  return useQuery({
    queryKey: ["session"],
    queryFn: async (): Promise<Caller | null> => {
      try {
        return await get<Caller>("/v1/session");
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Somebody signed in, or out (null): nothing of whoever was there before stays. */
export function signedIn(caller: Caller | null) {
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  client.setQueryData(["session"], caller);
}

const ranks = ["viewer", "analyst", "lead", "admin"];

export function useMay(role: "analyst" | "lead"): boolean {
  const { data } = useSession();
  return ranks.indexOf(data?.role ?? "") >= ranks.indexOf(role);
}

/** The currency that `…_base_minor` is in. */
export function useBase(): string {
  const { data } = useQuery({
    queryKey: ["live"],
    queryFn: () => get<Now>("/v1/live"),
    staleTime: 60_000,
  });
  return data?.base_currency ?? "EUR";
}
