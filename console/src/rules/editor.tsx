/** A rule is written, checked while it is written, tried on the past, and proposed. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { post } from "../api/client";
import type { Backtested, InForce, Proposal, Rule, Wrong } from "../api/types";
import { count, counted, percent, roundMoney } from "../format";
import { Link, setQuery, to } from "../router";
import { client, useBase } from "../session";
import { toast, toastProblem, told } from "../toasts";
import { Button, fieldStyle, Panel } from "../ui/frame";
import { Condition } from "./condition";
import { Diff } from "./diff";
import { blockIn, blockOf, changesOf, withRule } from "./text";

const NEW: Rule = {
  id: "",
  name: "",
  when: "",
  action: "REVIEW",
  reason_code: "",
  priority: 400,
  status: "shadow",
};

export function Editor({ inForce, rule }: { inForce: InForce; rule: Rule | undefined }) {
  const [draft, setDraft] = useState(rule ?? NEW);
  const [settled, setSettled] = useState(draft);
  const [why, setWhy] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSettled(draft), 400);
    return () => clearTimeout(timer);
  }, [draft]);
  const isComplete = [draft.id, draft.name, draft.when, draft.reason_code].every((one) =>
    one.trim(),
  );
  const text = withRule(inForce.rules_text, draft);
  const before = rule ? blockIn(inForce.rules_text, rule.id) : "";
  const isChanged = before.trim() !== blockOf(draft).trim();
  const check = useQuery({
    queryKey: ["validate", settled],
    queryFn: () =>
      post<Wrong[]>("/v1/rules/validate", { text: withRule(inForce.rules_text, settled) }),
    enabled: isComplete,
    staleTime: 60_000,
  });
  const isChecked = settled === draft && check.data !== undefined;
  const wrong = isComplete ? (check.data ?? []) : [];
  const propose = useMutation({
    mutationFn: () => post<Proposal>("/v1/proposals", { kind: "rules", change: { text }, why }),
    onSuccess: () => {
      toast("Proposed. It takes effect once a second person approves it.");
      setQuery({ edit: null });
    },
    onError: (error) => toastProblem("Not proposed", error),
    onSettled: () => void client.invalidateQueries({ queryKey: ["proposals"] }),
  });
  const set = (change: Partial<Rule>) => setDraft({ ...draft, ...change });
  return (
    <Panel
      title={rule ? "Change the rule" : "Write a rule"}
      aside={
        <Button kind="quiet" onClick={() => setQuery({ edit: null })}>
          Close
        </Button>
      }
    >
      <div className="grid gap-3">
        <Fields draft={draft} isNew={!rule} set={set} />
        <div className="grid gap-1">
          <span className="text-xs text-soft">
            When (an SQL condition over columns, features and scores)
          </span>
          <Condition
            value={draft.when}
            names={inForce.names}
            onChange={(when) => set({ when })}
            isWrong={wrong.length > 0}
          />
        </div>
        <Verdict isComplete={isComplete} isChecked={isChecked} wrong={wrong} error={check.error} />
        <Try text={text} id={draft.id} isOff={!isChecked || wrong.length > 0} />
        {isChanged && isComplete && (
          <div className="grid gap-2">
            <h3 className="font-medium">What changes</h3>
            <Diff changes={changesOf(before, blockOf(draft))} />
            <input
              aria-label="Why"
              placeholder="Why, for whoever approves it"
              maxLength={2000}
              value={why}
              onChange={(event) => setWhy(event.target.value)}
              className={fieldStyle}
            />
            <div>
              <Button
                kind="main"
                disabled={!why.trim() || !isChecked || wrong.length > 0 || propose.isPending}
                onClick={() => propose.mutate()}
              >
                Propose
              </Button>
            </div>
          </div>
        )}
      </div>
    </Panel>
  );
}

interface FieldsProps {
  draft: Rule;
  isNew: boolean;
  set: (change: Partial<Rule>) => void;
}

function Fields({ draft, isNew, set }: FieldsProps) {
  const label = "grid gap-1 [&>span]:text-xs [&>span]:text-soft";
  return (
    <>
      <label className={label}>
        <span>Name, as a sentence</span>
        <input
          maxLength={200}
          value={draft.name}
          onChange={(event) => set({ name: event.target.value })}
          className={fieldStyle}
        />
      </label>
      <div className="grid grid-cols-2 gap-2">
        <label className={label}>
          <span>Id</span>
          <input
            disabled={!isNew}
            pattern="[a-z][a-z0-9_]*"
            maxLength={64}
            value={draft.id}
            onChange={(event) => set({ id: event.target.value })}
            className={`${fieldStyle} font-mono text-xs`}
          />
        </label>
        <label className={label}>
          <span>Reason code</span>
          <input
            pattern="[a-z][a-z0-9_]*"
            maxLength={64}
            value={draft.reason_code}
            onChange={(event) => set({ reason_code: event.target.value })}
            className={`${fieldStyle} font-mono text-xs`}
          />
        </label>
      </div>
      <div className="grid grid-cols-3 gap-2">
        <label className={label}>
          <span>Action</span>
          <select
            value={draft.action}
            onChange={(event) => set({ action: event.target.value as Rule["action"] })}
            className={fieldStyle}
          >
            {["APPROVE", "STEP_UP", "REVIEW", "DECLINE"].map((action) => (
              <option key={action}>{action}</option>
            ))}
          </select>
        </label>
        <label className={label}>
          <span>Status</span>
          <select
            value={draft.status}
            onChange={(event) => set({ status: event.target.value as Rule["status"] })}
            className={fieldStyle}
          >
            {["draft", "shadow", "live", "off"].map((status) => (
              <option key={status}>{status}</option>
            ))}
          </select>
        </label>
        <label className={label}>
          <span>Priority</span>
          <input
            type="number"
            min={0}
            max={10_000}
            value={draft.priority}
            onChange={(event) => set({ priority: event.target.valueAsNumber || 0 })}
            className={fieldStyle}
          />
        </label>
      </div>
    </>
  );
}

interface VerdictProps {
  isComplete: boolean;
  isChecked: boolean;
  wrong: Wrong[];
  error: Error | null;
}

function Verdict({ isComplete, isChecked, wrong, error }: VerdictProps) {
  if (!isComplete)
    return <p className="text-soft">Fill in all fields; it is checked as you write.</p>;
  if (error) return <p className="text-decline">It could not be checked: {told(error)}</p>;
  if (!isChecked && wrong.length === 0) return <p className="text-soft">Checking…</p>;
  if (wrong.length === 0) return <p className="text-approve">✓ Valid</p>;
  return (
    <ul role="alert" className="text-decline">
      {wrong.map((one) => (
        <li key={one.problem}>
          ✕{" "}
          {one.line !== null &&
            `line ${one.line}${one.column !== null ? `, column ${one.column}` : ""}: `}
          {one.problem}
        </li>
      ))}
    </ul>
  );
}

function Try({ text, id, isOff }: { text: string; id: string; isOff: boolean }) {
  const base = useBase();
  const [days, setDays] = useState(7);
  const run = useMutation({
    mutationFn: () => post<Backtested>("/v1/rules/backtest", { text, rule_id: id, days }),
  });
  const found = run.data;
  return (
    <div className="grid gap-2 rounded-md bg-raised p-2.5">
      <div className="flex items-center gap-2">
        <Button disabled={isOff || run.isPending} onClick={() => run.mutate()}>
          {run.isPending ? "Trying…" : "Try on the past"}
        </Button>
        <select
          aria-label="Days"
          value={days}
          onChange={(event) => setDays(Number(event.target.value))}
          className={fieldStyle}
        >
          {[1, 7, 30].map((n) => (
            <option key={n} value={n}>
              {counted(n, "day")}
            </option>
          ))}
        </select>
      </div>
      {run.error && <p className="text-decline">{told(run.error)}</p>}
      {found && (
        <div>
          <p>
            Would have fired on <b>{count(found.hits)}</b> of {found.is_whole ? "" : "the newest "}
            {count(found.scanned)} payments, {roundMoney(found.amount_base_minor, base)} in all;{" "}
            {count(found.hits - found.stopped_already)} of them were approved.{" "}
            {found.labelled > 0
              ? `Of ${count(found.labelled)} with a label, ${count(found.frauds)} were fraud (${percent(found.frauds / found.labelled)}).`
              : "None of them has a label yet."}
          </p>
          {found.sample.length > 0 && (
            <p className="mt-1 text-xs">
              {found.sample.slice(0, 5).map((one) => (
                <Link
                  key={one}
                  href={to.decision(one)}
                  className="mr-2 font-mono text-accent hover:underline"
                >
                  {one.slice(0, 14)}
                </Link>
              ))}
            </p>
          )}
        </div>
      )}
    </div>
  );
}
