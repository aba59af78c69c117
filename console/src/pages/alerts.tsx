/** The queue on the left, the selected case on the right. */
import { useCallback, useEffect, useMemo, useRef } from "react";
import { List } from "../alerts/list";
import { byLoss, type Group, groupOf, subjectOf, useQueue, type Wanted } from "../alerts/queue";
import type { CaseShown } from "../api/types";
import { CaseView } from "../case/view";
import { useFeed } from "../feed";
import { count, counted, roundMoney, words } from "../format";
import { judge, judgementOf, undo, useJudgements, type Verdict } from "../judging";
import { useKeys } from "../keys";
import { go, setQuery, to, usePlace } from "../router";
import { client, useBase, useMay } from "../session";
import { toast, told } from "../toasts";
import { Button, Chip, fieldStyle } from "../ui/frame";
import { Empty, Failed, Skeleton, Stale } from "../ui/states";
import { Key } from "../ui/words";

const skipped = new Set<string>();
/** The server counts no further. */
const COUNTED_MAX = 10_000;
const STATUSES = ["open", "claimed", "closed"];
const ACTIONS = ["DECLINE", "REVIEW", "STEP_UP"];

function wantedOf(query: URLSearchParams): Wanted {
  return {
    status: query.get("status") ?? "open",
    action: query.get("action"),
    reason: query.get("reason"),
    country: query.get("country"),
    text: query.get("text"),
  };
}

export default function Alerts() {
  const { query } = usePlace();
  const wanted = wantedOf(query);
  const queue = useQueue(wanted);
  useNews();
  const judgements = useJudgements();
  const pages = queue.data?.pages;
  const groups = useMemo(() => {
    const sent = judgements.filter((one) => one.state === "sent");
    const isGone = (group: Group) =>
      wanted.status !== "closed" && judgementOf(sent, group.alerts[0].line.transaction_id);
    return groupOf(pages ?? []).filter((group) => !isGone(group));
  }, [pages, judgements, wanted.status]);
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = queue;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const { chosen, choose } = useChosen(groups, query.get("at"));
  const group = groups[chosen];
  useQueueKeys(groups, chosen, choose);
  const total = pages?.[0];
  return (
    <div className="grid h-full grid-cols-[460px_minmax(0,1fr)]">
      <section
        aria-label="Alerts"
        className="flex min-h-0 flex-col border-r border-line bg-surface"
      >
        <Filters wanted={wanted} total={total?.total_count} baseMinor={total?.total_base_minor} />
        {queue.error && pages && <Stale since={queue.dataUpdatedAt} why={told(queue.error)} />}
        {!pages && !queue.error && <Skeleton lines={16} />}
        {!pages && queue.error && (
          <Failed what="the queue" error={queue.error} retry={() => void queue.refetch()} />
        )}
        {pages && groups.length === 0 && <Nothing wanted={wanted} />}
        {groups.length > 0 && (
          <List
            groups={groups}
            chosen={chosen}
            skipped={skipped}
            isPart={hasNextPage}
            onChoose={choose}
            onEnd={more}
          />
        )}
        <footer className="mt-auto flex items-center gap-3 border-t border-line px-3 py-1.5 text-xs text-soft">
          <span>
            <Key>j</Key> <Key>k</Key> move
          </span>
          <span>
            <Key>f</Key> fraud
          </span>
          <span>
            <Key>g</Key> genuine
          </span>
          <span>
            <Key>s</Key> skip
          </span>
          <span>
            <Key>u</Key> undo
          </span>
          <span className="ml-auto">
            {groups.length > 0 &&
              `${count(chosen + 1)} of ${count(groups.length)}${hasNextPage ? "+" : ""}`}
          </span>
        </footer>
      </section>
      <section aria-label="Selected case" className="min-h-0 overflow-y-auto">
        {group ? (
          <CaseView
            key={group.key}
            transactionId={shownOf(group, query.get("at"))}
            alerts={group.alerts}
            onShow={(id) => setQuery({ at: id }, "replace")}
          />
        ) : (
          <Empty title="No case is selected" />
        )}
      </section>
    </div>
  );
}

const NEWS_MS = 4_000;

/** New alerts are looked for when the feed tells of one, and not more often than that. */
function useNews() {
  const timer = useRef(0);
  useFeed("alerts", () => {
    if (timer.current !== 0) return;
    timer.current = window.setTimeout(() => {
      timer.current = 0;
      void client.invalidateQueries({ queryKey: ["alerts"] });
    }, NEWS_MS);
  });
}

function shownOf(group: Group, at: string | null): string {
  const found = group.alerts.find((alert) => alert.line.transaction_id === at);
  return (found ?? group.alerts[0]).line.transaction_id;
}

/** Which row: the one the address names; once that is gone, the one that took its place. */
function useChosen(groups: Group[], at: string | null) {
  const last = useRef(0);
  const named = groups.findIndex((group) =>
    group.alerts.some((alert) => alert.line.transaction_id === at),
  );
  const chosen = named >= 0 ? named : Math.max(0, Math.min(last.current, groups.length - 1));
  useEffect(() => {
    last.current = chosen;
  }, [chosen]);
  const choose = useCallback(
    (index: number) => {
      const group = groups[Math.max(0, Math.min(groups.length - 1, index))];
      if (group) setQuery({ at: group.alerts[0].line.transaction_id }, "replace");
    },
    [groups],
  );
  return { chosen, choose };
}

function useQueueKeys(groups: Group[], chosen: number, choose: (index: number) => void) {
  const mayJudge = useMay("analyst");
  const say = (finding: Verdict) => {
    const group = groups[chosen];
    // The queue has loaded some of its alerts; its case, shown on the right, has all.
    const key = ["case", group?.alerts[0].case_id ?? null];
    const whole = client.getQueryData<CaseShown>(key)?.alerts;
    const subject = subjectOf(byLoss(whole ?? group?.alerts ?? []));
    if (!subject) return;
    if (!mayJudge) return toast("Judging needs the role analyst.", true);
    judge(subject, finding);
    choose(chosen + 1);
  };
  useKeys({
    j: () => choose(chosen + 1),
    k: () => choose(chosen - 1),
    arrowdown: () => choose(chosen + 1),
    arrowup: () => choose(chosen - 1),
    f: () => say("fraud"),
    g: () => say("genuine"),
    s: () => {
      const key = groups[chosen]?.key;
      if (key !== undefined) skipped.add(key);
      choose(chosen + 1);
    },
    u: () => {
      const subject = undo();
      if (subject) setQuery({ at: subject.transactionIds[0] ?? null }, "replace");
      else toast("There is nothing left to undo.");
    },
    enter: () => {
      const group = groups[chosen];
      if (group) go(to.decision(group.alerts[0].line.transaction_id));
    },
    "/": () => document.getElementById("queue-text")?.focus(),
  });
}

interface FiltersProps {
  wanted: Wanted;
  total: number | undefined;
  baseMinor: number | undefined;
}

function Filters({ wanted, total, baseMinor }: FiltersProps) {
  const base = useBase();
  const set = (name: keyof Wanted, value: string | null) => setQuery({ [name]: value, at: null });
  return (
    <header className="grid gap-2 border-b border-line px-3 py-2">
      <div className="flex items-baseline justify-between">
        <h1 className="text-lg font-semibold">Alerts</h1>
        {total !== undefined && baseMinor !== undefined && (
          <span className="text-soft">
            {total < COUNTED_MAX ? counted(total, "alert") : `${count(total)}+ alerts`} open ·{" "}
            {roundMoney(baseMinor, base)}
          </span>
        )}
      </div>
      <input
        key={wanted.text} // anew where it was taken away by its chip
        id="queue-text"
        type="search"
        aria-label="Payment, card, merchant or device"
        placeholder="/  payment, card, merchant or device"
        defaultValue={wanted.text ?? ""}
        onKeyDown={(event) => {
          if (event.key === "Enter") set("text", event.currentTarget.value.trim());
          // The letters are the queue's again.
          if (event.key === "Enter" || event.key === "Escape") event.currentTarget.blur();
        }}
        className={fieldStyle}
      />
      <div className="flex flex-wrap gap-1.5">
        {STATUSES.map((status) => (
          <Chip
            key={status}
            isOn={wanted.status === status}
            onClick={() => set("status", status === "open" ? null : status)}
          >
            {status}
          </Chip>
        ))}
        <span className="mx-1 w-px bg-line" />
        {ACTIONS.map((action) => (
          <Chip
            key={action}
            isOn={wanted.action === action}
            onClick={() => set("action", wanted.action === action ? null : action)}
          >
            {words(action.toLowerCase())}
          </Chip>
        ))}
        {(["reason", "country", "text"] as const).map((name) => {
          const value = wanted[name];
          return (
            value && (
              <Chip key={name} isOn onClick={() => set(name, null)}>
                {name === "reason" ? words(value) : value} ✕
              </Chip>
            )
          );
        })}
      </div>
    </header>
  );
}

function Nothing({ wanted }: { wanted: Wanted }) {
  const isFiltered = wanted.action || wanted.reason || wanted.country || wanted.text;
  if (isFiltered || wanted.status !== "open") {
    return (
      <Empty title={`No ${wanted.status} alert matches`}>
        <Button onClick={() => go("/alerts")} className="mt-2">
          Show all open alerts
        </Button>
      </Empty>
    );
  }
  return (
    <Empty title="The queue is empty">
      Nothing waits for you. New alerts come in by themselves; meanwhile, <b>Live</b> shows what
      passes.
    </Empty>
  );
}
