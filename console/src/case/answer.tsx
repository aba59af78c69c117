/** The answer first: what, how much, and the two strongest reasons. */
import type { AlertLine, DecisionShown } from "../api/types";
import { money, percent, roundMoney, words } from "../format";
import { judgementOf, useJudgements } from "../judging";
import { Link, to } from "../router";
import { useBase } from "../session";
import { ActionBadge, Id, LabelBadge, Tag, When } from "../ui/words";

/** Sentences; rules that fired come before the model's reasons. */
function strongest(decision: DecisionShown): string[] {
  const { line, reasons } = decision;
  const parts = reasons.filter((part) => part.log_odds > 0).map((part) => part.text);
  const all = [line.reason_text || words(line.reason), ...parts];
  return [...new Set(all.filter(Boolean))].slice(0, 2);
}

export function Answer({ decision, alerts }: { decision: DecisionShown; alerts: AlertLine[] }) {
  const { line, probability_ppm } = decision;
  const base = useBase();
  const own = alerts.find((one) => one.line.transaction_id === line.transaction_id);
  const judged = judgementOf(useJudgements(), line.transaction_id);
  const isFraud = judged
    ? judged.finding === "fraud"
    : (decision.labels[0]?.is_fraud ?? line.is_fraud);
  const place = line.merchant_country ?? line.country;
  return (
    <header>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <h2 className="text-xl leading-8 font-semibold">
          {money(line.amount_minor, line.currency)}
          <span className="font-normal text-soft"> at </span>
          {line.merchant_id ? (
            <Link
              href={to.entity("merchant", line.merchant_id)}
              className="break-all hover:underline"
            >
              {line.merchant_id}
            </Link>
          ) : (
            "an unknown merchant"
          )}
          {place && <span>, {place}</span>}
        </h2>
        <ActionBadge action={line.action} isPast />
        {line.score !== null && (
          <span>
            score <b>{line.score}</b>
          </span>
        )}
        {isFraud !== null && isFraud !== undefined && <LabelBadge isFraud={isFraud} />}
      </div>
      <ul className="mt-1 space-y-0.5 text-base">
        {strongest(decision).map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      <p className="mt-1.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-soft">
        {line.currency !== base && line.amount_base_minor !== null && (
          <span>that is {money(line.amount_base_minor, base)}</span>
        )}
        <When at={line.event_time} />
        {line.card_id && (
          <span>
            card <Id id={line.card_id} />
          </span>
        )}
        <span>
          payment <Id id={line.transaction_id} />
        </span>
        {probability_ppm !== null && <span>{percent(probability_ppm / 1e6)} likely fraud</span>}
        {own && <span>expected loss {roundMoney(own.expected_loss_base_minor, base)}</span>}
        {line.category && <Tag>{words(line.category)}</Tag>}
        {line.channel && <Tag>{words(line.channel)}</Tag>}
      </p>
    </header>
  );
}
