/** Rules with what they did, their editor, lists, and what waits for a second person. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { get, post } from "../api/client";
import type { InForce, ListEntry, Proposal, Rule, RuleCounts, RuleStatus } from "../api/types";
import { count, counted, percent, roundMoney, shortened } from "../format";
import { useKeys } from "../keys";
import { setQuery, usePlace } from "../router";
import { Editor } from "../rules/editor";
import { client, useBase, useMay } from "../session";
import { toast, toastProblem } from "../toasts";
import { Button, Chip, Facts, Panel } from "../ui/frame";
import { Proposals } from "../ui/proposals";
import { Empty, Loaded, Skeleton } from "../ui/states";
import { ActionBadge, Tag, When } from "../ui/words";

const NONE: RuleCounts = { hits: 0, shadow_hits: 0, labelled: 0, frauds: 0, stopped_base_minor: 0 };
const SIGNS: Record<RuleStatus, string> = { live: "●", shadow: "◌", draft: "✎", off: "○" };

export default function Rules() {
  const { query } = usePlace();
  const days = Number(query.get("days") ?? 7) || 7;
  const rules = useQuery({
    queryKey: ["rules", days],
    queryFn: () => get<InForce>("/v1/rules", { days }),
    refetchInterval: 15_000,
  });
  return (
    <div className="mx-auto max-w-[1680px] p-4">
      <Loaded query={rules} what="the rules" skeleton={<Skeleton lines={14} />}>
        {(inForce) => <Shown inForce={inForce} days={days} />}
      </Loaded>
    </div>
  );
}

function Shown({ inForce, days }: { inForce: InForce; days: number }) {
  const { query } = usePlace();
  const mayPropose = useMay("analyst");
  const edited = query.get("edit");
  const rules = inOrder(inForce.rules.rules);
  const at = rules.findIndex((rule) => rule.id === (edited ?? query.get("rule")));
  const chosen = rules[at];
  const go = (step: number) => {
    const next = rules[Math.max(0, Math.min(rules.length - 1, at + step))];
    if (next && edited === null) setQuery({ rule: next.id }, "replace");
  };
  useKeys({
    j: () => go(1),
    k: () => go(-1),
    enter: () => {
      if (chosen && mayPropose && edited === null) setQuery({ edit: chosen.id, rule: null });
    },
  });
  return (
    <>
      <header className="mb-3 flex items-center gap-3">
        <h1 className="text-lg font-semibold">Rules</h1>
        <span className="text-xs text-soft">version {shortened(inForce.rules.version, 12)}</span>
        <span className="ml-auto flex gap-1.5">
          {[1, 7, 30].map((n) => (
            <Chip
              key={n}
              isOn={n === days}
              onClick={() => setQuery({ days: n === 7 ? null : String(n) })}
            >
              {counted(n, "day")}
            </Chip>
          ))}
        </span>
        {mayPropose && (
          <Button kind="main" onClick={() => setQuery({ edit: "new", rule: null })}>
            Write a rule
          </Button>
        )}
      </header>
      <div className="grid grid-cols-[minmax(0,1fr)_400px] 2xl:grid-cols-[minmax(0,1fr)_460px] items-start gap-3">
        <div className="grid gap-3">
          <Table rules={rules} all={inForce.counts} chosen={chosen?.id} />
          <Lists entries={inForce.lists.entries} mayPropose={mayPropose} />
        </div>
        <div className="grid gap-3">
          {edited !== null && mayPropose ? (
            <Editor key={edited} inForce={inForce} rule={chosen} />
          ) : (
            chosen && (
              <One
                rule={chosen}
                counts={inForce.counts[chosen.id] ?? NONE}
                mayPropose={mayPropose}
              />
            )
          )}
          <Proposals kinds={["rules", "list"]} />
        </div>
      </div>
    </>
  );
}

/** A larger priority wins. */
function inOrder(rules: Rule[]): Rule[] {
  return rules.toSorted((a, b) => b.priority - a.priority || a.id.localeCompare(b.id));
}

interface TableProps {
  rules: Rule[];
  all: InForce["counts"];
  chosen: string | undefined;
}

function Table({ rules, all, chosen }: TableProps) {
  const base = useBase();
  if (rules.length === 0) {
    return (
      <Panel>
        <Empty title="There are no rules">
          The model decides alone. Write a rule to change that.
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel isBare>
      <table className="w-full table-fixed">
        <thead className="text-xs text-soft">
          <tr className="border-b border-line [&>th]:px-3 [&>th]:py-1.5">
            <th className="w-18 text-right!" title="A larger priority wins">
              Priority
            </th>
            <th>Rule</th>
            <th className="w-24">Status</th>
            <th className="w-24">Action</th>
            <th className="w-18 text-right!">Hits</th>
            <th
              className="w-20 text-right!"
              title="So far: frauds among its hits that have a label"
            >
              Precision
            </th>
            <th className="w-24 text-right!">Stopped</th>
          </tr>
        </thead>
        <tbody>
          {rules.map((rule) => {
            const counts = all[rule.id] ?? NONE;
            const hits = rule.status === "shadow" ? counts.shadow_hits : counts.hits;
            const isOff = rule.status === "off" || rule.status === "draft";
            return (
              <tr
                key={rule.id}
                aria-current={rule.id === chosen}
                className={`border-b border-line last:border-0 [&>td]:px-3 [&>td]:py-1.5 ${rule.id === chosen ? "bg-accent-soft" : "hover:bg-raised"}`}
              >
                <td className="text-right text-soft">{rule.priority}</td>
                <td>
                  <button
                    type="button"
                    title={rule.name}
                    onClick={() => setQuery({ rule: rule.id, edit: null })}
                    className="text-left hover:underline"
                  >
                    {rule.name}
                  </button>
                </td>
                <td className={isOff ? "text-soft" : ""}>
                  <span
                    aria-hidden
                    className={rule.status === "live" ? "text-approve" : "text-soft"}
                  >
                    {SIGNS[rule.status]}
                  </span>{" "}
                  {rule.status}
                </td>
                <td>
                  <ActionBadge action={rule.action} />
                </td>
                <td className="text-right">{count(hits)}</td>
                <td
                  className="text-right"
                  title={`${counts.frauds} of ${counts.labelled} labelled`}
                >
                  {counts.labelled > 0 ? percent(counts.frauds / counts.labelled) : "–"}
                </td>
                <td className="text-right">
                  {counts.stopped_base_minor > 0
                    ? roundMoney(counts.stopped_base_minor, base)
                    : "–"}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Panel>
  );
}

function One({
  rule,
  counts,
  mayPropose,
}: {
  rule: Rule;
  counts: RuleCounts;
  mayPropose: boolean;
}) {
  return (
    <Panel
      title={rule.name}
      aside={
        mayPropose && (
          <Button onClick={() => setQuery({ edit: rule.id, rule: null })}>Change</Button>
        )
      }
    >
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        tabIndex={0}
        className="overflow-x-auto rounded-md bg-raised px-2.5 py-2 font-mono text-xs"
      >
        {rule.when.trim()}
      </pre>
      <div className="mt-3">
        <Facts>
          <dt>id</dt>
          <dd className="font-mono text-xs leading-5">{rule.id}</dd>
          <dt>reason code</dt>
          <dd className="font-mono text-xs leading-5">{rule.reason_code}</dd>
          <dt>then</dt>
          <dd>
            <ActionBadge action={rule.action} />{" "}
            {rule.status !== "live" && <Tag>{rule.status}: does not decide</Tag>}
          </dd>
          <dt>in shadow</dt>
          <dd>{counted(counts.shadow_hits, "hit")}</dd>
          <dt>labelled</dt>
          <dd>
            {counted(counts.frauds, "fraud")} of {counted(counts.labelled, "label")}
          </dd>
        </Facts>
      </div>
    </Panel>
  );
}

function Lists({ entries, mayPropose }: { entries: ListEntry[]; mayPropose: boolean }) {
  const remove = useMutation({
    mutationFn: (entry: ListEntry) =>
      post<Proposal>("/v1/proposals", {
        kind: "list",
        change: { ...entry, is_removal: true },
        why: "Taken off in the console",
      }),
    onSuccess: () => toast("Proposed. It is taken off once a second person approves it."),
    onError: (error) => toastProblem("Not proposed", error),
    onSettled: () => void client.invalidateQueries({ queryKey: ["proposals"] }),
  });
  return (
    <Panel title="Lists" aside={counted(entries.length, "entry", "entries")} isBare>
      {entries.length === 0 && (
        <p className="px-3 py-2.5 text-soft">Empty. A case's block list puts somebody on.</p>
      )}
      <ul className="max-h-72 overflow-y-auto">
        {entries.map((entry) => (
          <li
            key={`${entry.name} ${entry.column} ${entry.value}`}
            className="grid grid-cols-[56px_80px_minmax(0,1fr)_auto_auto] items-center gap-2 px-3 py-1"
          >
            <span>
              <Tag>{entry.name}</Tag>
            </span>
            <span className="text-soft">{entry.column.replace("_id", "")}</span>
            <span title={entry.value} className="truncate font-mono text-xs">
              {shortened(entry.value, 36)}
            </span>
            <span className="text-xs text-soft">
              {entry.expires_at === null ? (
                "for good"
              ) : (
                <>
                  ends <When at={entry.expires_at} />
                </>
              )}
            </span>
            {mayPropose && (
              <Button
                kind="quiet"
                onClick={() => remove.mutate(entry)}
                aria-label={`Take off ${entry.value}`}
              >
                Take off
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
