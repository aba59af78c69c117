/** Why: contributions in words, rules, what is usual, and what would have been approved. */
import { useState } from "react";
import type { DecisionShown, Explanation } from "../api/types";
import { Contributions } from "../charts/contributions";
import { signed, words } from "../format";
import { Link } from "../router";
import { useMay } from "../session";
import { told } from "../toasts";
import { Button, Panel } from "../ui/frame";
import { Skeleton } from "../ui/states";
import { ActionBadge, Tag } from "../ui/words";
import { useExplanation } from "./data";

export function Why({ decision }: { decision: DecisionShown }) {
  const mayExplain = useMay("analyst");
  const { transaction_id, action } = decision.line;
  const query = useExplanation(transaction_id, false, mayExplain);
  const explained = query.data;
  const parts = explained?.contributions ?? decision.reasons;
  const log_odds = explained?.log_odds;
  return (
    <Panel
      title="Why"
      aside={log_odds !== null && log_odds !== undefined && `together ${signed(log_odds)} log-odds`}
    >
      <div className="grid gap-3">
        {explained?.habit_words && <p>{capital(explained.habit_words)}.</p>}
        {explained && explained.prose_by === "model" && (
          <p className="border-l-2 border-line pl-3">
            {explained.prose} <Tag tone="text-soft">written by a language model, facts checked</Tag>
          </p>
        )}
        <Rules decision={decision} explained={explained} />
        {query.isLoading && parts.length === 0 ? (
          <Skeleton lines={4} className="px-0" />
        ) : (
          parts.length > 0 && <Contributions parts={parts} />
        )}
        {parts.length === 0 && !query.isLoading && (
          <p className="text-soft">No model took part in this decision.</p>
        )}
        {query.error && (
          <p role="alert" className="text-decline">
            The explanation could not be loaded: {told(query.error)}{" "}
            <Button kind="quiet" onClick={() => void query.refetch()}>
              Try again
            </Button>
          </p>
        )}
        {!mayExplain && (
          <p className="text-xs text-soft">What is usual for this card is for analysts.</p>
        )}
        {mayExplain && action !== "APPROVE" && <WouldPass transactionId={transaction_id} />}
      </div>
    </Panel>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");
}

function Rules({
  decision,
  explained,
}: {
  decision: DecisionShown;
  explained: Explanation | undefined;
}) {
  const named =
    explained?.rule_hits ??
    [...decision.rule_hits, ...decision.shadow_hits].map((rule_id) => ({
      rule_id,
      name: words(rule_id),
      action: "",
      is_live: decision.rule_hits.includes(rule_id),
    }));
  if (named.length === 0) return null;
  return (
    <ul className="space-y-1">
      {named.map((hit) => (
        <li key={hit.rule_id} className="flex items-center gap-2">
          <Tag>{hit.is_live ? "rule" : "shadow rule"}</Tag>
          <Link href={`/rules?rule=${encodeURIComponent(hit.rule_id)}`} className="hover:underline">
            {hit.name}
          </Link>
          {hit.is_live && hit.action && <ActionBadge action={hit.action} />}
        </li>
      ))}
    </ul>
  );
}

/** Asked for only when somebody wants it: the answer costs the server seconds. */
function WouldPass({ transactionId }: { transactionId: string }) {
  const [isAsked, setAsked] = useState(false);
  const query = useExplanation(transactionId, true, isAsked);
  const found = query.data;
  if (!isAsked) {
    return (
      <div>
        <Button onClick={() => setAsked(true)}>What would have been approved?</Button>
      </div>
    );
  }
  if (query.isLoading)
    return <p className="text-soft">Deciding again on the state of that time…</p>;
  if (query.error) {
    return (
      <p role="alert" className="text-decline">
        Could not be found out: {told(query.error)}{" "}
        <Button kind="quiet" onClick={() => void query.refetch()}>
          Try again
        </Button>
      </p>
    );
  }
  return <p className="rounded-md bg-raised px-3 py-2">{found && sentence(found)}</p>;
}

function sentence(found: Explanation): string {
  const { counterfactual, counterfactual_status, counterfactual_why } = found;
  if (counterfactual_status === "found" && counterfactual) {
    const changes = counterfactual.changes.map((change) => change.words).join(" and ");
    return `Would have been approved ${changes}.`;
  }
  if (counterfactual_status === "none") {
    return "Nothing that an honest payer could have changed would have been approved.";
  }
  if (counterfactual_status === "pending") return "It is still being found out: ask again shortly.";
  return counterfactual_why || "The state of that time is gone, so it cannot be decided again.";
}
