/** What a case page asks for. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type {
  AlertLine,
  AlertPage,
  CaseShown,
  DecisionShown,
  EntityKind,
  EntityShown,
  Explanation,
  Page,
} from "../api/types";

const path = encodeURIComponent;

export function useDecision(id: string) {
  return useQuery({
    queryKey: ["decision", id],
    queryFn: ({ signal }) => get<DecisionShown>(`/v1/decisions/${path(id)}`, {}, signal),
    refetchInterval: 60_000,
  });
}

/** counterfactual: decided again on the state of that time, which may take seconds. */
export function useExplanation(id: string, counterfactual: boolean, isWanted = true) {
  return useQuery({
    queryKey: ["explanation", id, counterfactual],
    queryFn: ({ signal }) =>
      get<Explanation>(`/v1/decisions/${path(id)}/explanation`, { counterfactual }, signal),
    enabled: isWanted,
    staleTime: 300_000,
  });
}

export function useEntity(kind: EntityKind, id: string | null) {
  return useQuery({
    queryKey: ["entity", kind, id],
    queryFn: ({ signal }) => get<EntityShown>(`/v1/entities/${kind}/${path(id ?? "")}`, {}, signal),
    enabled: id !== null,
    staleTime: 30_000,
  });
}

export function useCase(id: string | null) {
  return useQuery({
    queryKey: ["case", id],
    queryFn: ({ signal }) => get<CaseShown>(`/v1/cases/${path(id ?? "")}`, {}, signal),
    enabled: id !== null,
    refetchInterval: 30_000,
  });
}

/** The alerts of the case that a transaction belongs to; none where it raised none. */
export function useAlertsOf(transactionId: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["alerts", "of", transactionId],
    queryFn: async ({ signal }): Promise<AlertLine[]> => {
      for (const status of ["open", "claimed", "closed"]) {
        const query = { text: transactionId, status, limit: 10 };
        const { items } = await get<AlertPage>("/v1/alerts", query, signal);
        const found = items.find((one) => one.line.transaction_id === transactionId);
        if (!found) continue;
        if (found.case_id === null) return [found];
        const whole = await get<CaseShown>(`/v1/cases/${path(found.case_id)}`, {}, signal);
        return whole.alerts;
      }
      return [];
    },
    enabled: isWanted,
    staleTime: 15_000,
  });
}

/** Payments stopped for the same reason that somebody has judged. */
export function useSimilar(decision: DecisionShown | undefined) {
  const reason = decision?.line.reason ?? "";
  const own = decision?.line.transaction_id;
  return useQuery({
    queryKey: ["similar", reason],
    queryFn: ({ signal }) => get<Page>("/v1/decisions", { reason, limit: 200 }, signal),
    enabled: reason !== "",
    staleTime: 60_000,
    select: ({ items }) =>
      items.filter((one) => one.is_fraud !== null && one.transaction_id !== own),
  });
}
