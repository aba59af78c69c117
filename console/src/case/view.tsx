/** One payment and its case: the answer, why, the story, what hangs together, and what to do. */

import { byLoss } from "../alerts/queue";
import type { AlertLine, DecisionShown } from "../api/types";
import { Links } from "../charts/links";
import { Month } from "../charts/month";
import { money, words } from "../format";
import { Link, to } from "../router";
import { Panel } from "../ui/frame";
import { Empty, Loaded, Skeleton } from "../ui/states";
import { ActionBadge, LabelBadge, When } from "../ui/words";
import { Act } from "./act";
import { Answer } from "./answer";
import { useCase, useDecision, useEntity } from "./data";
import { History } from "./history";
import { Recorded } from "./recorded";
import { Similar } from "./similar";
import { Why } from "./why";

interface CaseViewProps {
  transactionId: string;
  /** Of its case, or the one that has none; empty: it raised no alert. */
  alerts: AlertLine[];
  onShow: (transactionId: string) => void;
}

export function CaseView({ transactionId, alerts, onShow }: CaseViewProps) {
  const decision = useDecision(transactionId);
  return (
    <Loaded query={decision} what="this payment" skeleton={<Skeleton lines={14} className="p-5" />}>
      {(found) => <Shown decision={found} alerts={alerts} onShow={onShow} />}
    </Loaded>
  );
}

interface ShownProps {
  decision: DecisionShown;
  alerts: AlertLine[];
  onShow: (transactionId: string) => void;
}

function Shown({ decision, alerts: given, onShow }: ShownProps) {
  const { line } = decision;
  const file = useCase(given[0]?.case_id ?? null);
  const alerts = byLoss(file.data?.alerts ?? given);
  const card = useEntity("card", line.card_id);
  return (
    <article className="@container p-4">
      <Answer decision={decision} alerts={alerts} />
      <div className="mt-3 grid gap-3 @3xl:grid-cols-[minmax(0,1fr)_264px] @5xl:grid-cols-[minmax(0,1fr)_320px]">
        <div className="grid min-w-0 content-start gap-3">
          <Why decision={decision} />
          {alerts.length > 1 && (
            <Others alerts={alerts} shown={line.transaction_id} onShow={onShow} />
          )}
          <Panel
            title="This card, 30 days"
            aside={
              line.card_id && (
                <Link
                  href={to.entity("card", line.card_id)}
                  className="text-accent hover:underline"
                >
                  All of the card
                </Link>
              )
            }
          >
            {line.card_id === null ? (
              <Empty title="This payment names no card" />
            ) : (
              <Loaded query={card} what="the card" skeleton={<Skeleton lines={5} />}>
                {(entity) => <Month lines={entity.history} marked={line} />}
              </Loaded>
            )}
          </Panel>
          {line.card_id !== null && (
            <Panel title="What hangs together" aside="a click goes there">
              <Loaded query={card} what="the links" skeleton={<Skeleton lines={5} />}>
                {(entity) => <Links entity={entity} marked={line} />}
              </Loaded>
            </Panel>
          )}
        </div>
        <div className="grid content-start gap-3">
          <Act decision={decision} alerts={alerts} file={file.data} />
          <Similar decision={decision} />
          <History file={file} decision={decision} />
        </div>
        <div className="@3xl:col-span-2">
          <Recorded decision={decision} />
        </div>
      </div>
    </article>
  );
}

function Others({
  alerts,
  shown,
  onShow,
}: {
  alerts: AlertLine[];
  shown: string;
  onShow: (id: string) => void;
}) {
  return (
    <Panel title={`${alerts.length} alerts in this case`} isBare>
      <ul className="max-h-52 overflow-y-auto py-1">
        {alerts.map(({ line }) => {
          const isShown = line.transaction_id === shown;
          return (
            <li key={line.transaction_id}>
              <button
                type="button"
                aria-current={isShown}
                onClick={() => onShow(line.transaction_id)}
                className={`grid w-full grid-cols-[92px_116px_minmax(0,1fr)_auto] items-center gap-2 px-3 py-1 text-left ${isShown ? "bg-accent-soft" : "hover:bg-raised"}`}
              >
                <span>
                  <ActionBadge action={line.action} />
                </span>
                <span className="text-right">{money(line.amount_minor, line.currency)}</span>
                <span className="truncate text-soft">
                  {line.merchant_id} · {line.reason_text || words(line.reason)}
                </span>
                <span className="flex items-center gap-2 text-xs text-soft">
                  {line.is_fraud !== null && <LabelBadge isFraud={line.is_fraud} />}
                  <When at={line.event_time} />
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
