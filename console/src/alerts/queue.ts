/** The queue: alerts by expected loss, those of one case together. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { AlertLine, AlertPage } from "../api/types";
import { counted, money } from "../format";
import type { Subject } from "../judging";

export interface Group {
  key: string;
  /** The largest expected loss first. */
  alerts: [AlertLine, ...AlertLine[]];
  expectedLossBaseMinor: number;
}

export interface Wanted {
  status: string;
  action: string | null;
  reason: string | null;
  country: string | null;
  text: string | null;
}

const PAGE = 200;
const EVERY_MS = 15_000;

export function useQueue(wanted: Wanted) {
  return useInfiniteQuery({
    queryKey: ["alerts", wanted],
    queryFn: ({ pageParam, signal }) =>
      get<AlertPage>("/v1/alerts", { ...wanted, cursor: pageParam, limit: PAGE }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchInterval: EVERY_MS,
  });
}

export function groupOf(pages: AlertPage[]): Group[] {
  const groups = new Map<string, Group>();
  const known = new Set<string>();
  for (const alert of pages.flatMap((page) => page.items)) {
    const { transaction_id, card_id } = alert.line;
    // A page that moved while it was read may say one twice.
    if (known.has(transaction_id)) continue;
    known.add(transaction_id);
    const key = alert.case_id ?? card_id ?? transaction_id;
    const group = groups.get(key);
    if (group) {
      group.alerts.push(alert);
      group.expectedLossBaseMinor += alert.expected_loss_base_minor;
    } else {
      const expectedLossBaseMinor = alert.expected_loss_base_minor;
      groups.set(key, { key, alerts: [alert], expectedLossBaseMinor });
    }
  }
  // By what is lost if nobody looks at the case.
  return [...groups.values()].sort((a, b) => b.expectedLossBaseMinor - a.expectedLossBaseMinor);
}

/** The largest expected loss first. */
export function byLoss(alerts: AlertLine[]): AlertLine[] {
  return alerts.toSorted((a, b) => b.expected_loss_base_minor - a.expected_loss_base_minor);
}

/** What a judgement is about; alerts: all of the case, for all of them are judged. */
export function subjectOf(alerts: AlertLine[]): Subject | null {
  const first = alerts[0];
  if (!first) return null;
  const { amount_minor, currency, merchant_id } = first.line;
  const more = alerts.length > 1 ? ` · ${counted(alerts.length, "alert")} of this card` : "";
  return {
    caseId: first.case_id,
    transactionIds: alerts.map((alert) => alert.line.transaction_id),
    status: first.status,
    title: `${money(amount_minor, currency)} at ${merchant_id ?? "an unknown merchant"}${more}`,
  };
}
