/**
 * Judgements: fraud or genuine, at once on the screen and ten seconds later in the log.
 *
 * A label in the log cannot be taken back, so it is sent when it can no longer be undone: after
 * ten seconds, or when the page is left. The case is claimed at once, so that nobody else judges
 * it meanwhile; undoing gives it back.
 */
import { useSyncExternalStore } from "react";
import { post, send } from "./api/client";
import { client } from "./session";
import { toastProblem } from "./toasts";

export const UNDO_MS = 10_000;
export type Verdict = "fraud" | "genuine";

/** What is judged: a case with all its alerts, or alerts that have none. */
export interface Subject {
  caseId: string | null;
  transactionIds: string[];
  /** Of the case; open where there is none. */
  status: "open" | "claimed" | "closed";
  title: string;
}

export interface Judgement {
  id: number;
  subject: Subject;
  finding: Verdict;
  note: string;
  until: number;
  /** sent: it is in the log, lists may not show it yet. */
  state: "waiting" | "sending" | "sent";
}

let judgements: Judgement[] = [];
let last = 0;
const timers = new Map<number, number>();
const claims = new Map<number, Promise<unknown>>();
const listeners = new Set<() => void>();
const SENT_MAX = 500;

function change(next: Judgement[]) {
  judgements = next;
  for (const listener of listeners) listener();
}

function replace(id: number, state: Judgement["state"]) {
  change(judgements.map((one) => (one.id === id ? { ...one, state } : one)));
}

function forget(id: number) {
  clearTimeout(timers.get(id));
  timers.delete(id);
  claims.delete(id);
  change(judgements.filter((one) => one.id !== id));
}

export function judge(subject: Subject, finding: Verdict, note = "") {
  const known = judgements.some((one) =>
    one.subject.transactionIds.some((id) => subject.transactionIds.includes(id)),
  );
  if (known || subject.status === "closed") return;
  last += 1;
  const id = last;
  const until = Date.now() + UNDO_MS;
  change([...judgements.slice(-SENT_MAX), { id, subject, finding, note, until, state: "waiting" }]);
  timers.set(
    id,
    window.setTimeout(() => settle(id), UNDO_MS),
  );
  if (subject.caseId !== null && subject.status === "open") {
    const claimed = post(`/v1/cases/${encodeURIComponent(subject.caseId)}/claim`);
    claims.set(id, claimed);
    claimed.catch((error: unknown) => {
      if (!judgements.some((one) => one.id === id)) return;
      forget(id);
      toastProblem(`${subject.title} was not judged`, error);
      refresh();
    });
  }
}

/** Take back the newest that can be; whose it was. */
export function undo(id?: number): Subject | null {
  const waiting = judgements.filter((one) => one.state === "waiting");
  const found = id === undefined ? waiting.at(-1) : waiting.find((one) => one.id === id);
  if (!found) return null;
  const claimed = claims.get(found.id);
  forget(found.id);
  const path = `/v1/cases/${encodeURIComponent(found.subject.caseId ?? "")}/release`;
  claimed
    ?.then(() => post(path))
    .catch((error: unknown) => toastProblem("The case could not be given back", error))
    .finally(refresh);
  return found.subject;
}

function requestOf({ subject, finding, note }: Judgement): [string, unknown] {
  if (subject.caseId !== null) {
    // Of the payments that wait in review, those too that the queue has not shown.
    const resolution = finding === "fraud" ? "cancel" : "release";
    const path = `/v1/cases/${encodeURIComponent(subject.caseId)}/close`;
    return [path, { finding, resolution, note }];
  }
  const labels = subject.transactionIds.map((transaction_id) => ({
    transaction_id,
    is_fraud: finding === "fraud",
    source: "analyst",
  }));
  return ["/v1/labels", labels];
}

async function settle(id: number) {
  const found = judgements.find((one) => one.id === id);
  if (found?.state !== "waiting") return;
  replace(id, "sending");
  try {
    await claims.get(id);
    await post(...requestOf(found));
    replace(id, "sent");
  } catch (error) {
    if (judgements.some((one) => one.id === id)) {
      forget(id);
      toastProblem(`${found.subject.title} was not judged`, error);
    }
  }
  refresh();
}

function refresh() {
  for (const key of ["alerts", "case", "decision", "entity"]) {
    void client.invalidateQueries({ queryKey: [key] });
  }
}

// Whoever closes the page meant what was pressed.
window.addEventListener("pagehide", () => {
  for (const one of judgements.filter((found) => found.state === "waiting")) {
    clearTimeout(timers.get(one.id));
    void send("POST", ...requestOf(one), true).catch(() => undefined);
    replace(one.id, "sent");
  }
});

export function useJudgements(): Judgement[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => judgements,
  );
}

/** What was said of a transaction here, if the server may not say so yet. */
export function judgementOf(all: Judgement[], transactionId: string): Judgement | undefined {
  return all.find((one) => one.subject.transactionIds.includes(transactionId));
}
