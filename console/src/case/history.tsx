/** Who did what: the case's events and the payment's labels. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { CaseShown, DecisionShown } from "../api/types";
import { counted, words } from "../format";
import { told } from "../toasts";
import { Panel } from "../ui/frame";
import { When } from "../ui/words";

interface Event {
  key: string;
  at: number;
  by: string;
  what: string;
  detail: string;
}

interface HistoryProps {
  file: UseQueryResult<CaseShown>;
  decision: DecisionShown;
}

function eventsOf({ file, decision }: HistoryProps): Event[] {
  const history = (file.data?.history ?? []).map((one, n) => ({ ...one, key: `case ${n}` }));
  // A case may have many alerts, and each is there to be seen beside.
  const raised = history.filter((one) => one.what === "alert");
  const last = raised.at(-1);
  const events: Event[] = history.filter((one) => one.what !== "alert");
  if (last) events.push({ ...last, what: counted(raised.length, "alert"), detail: "" });
  // What closing the case has labelled is said by the case.
  const isSaid = events.some((one) => one.what === "labelled");
  const others = decision.labels.filter((label) => !(isSaid && label.source === "analyst"));
  const labels = others.map((label) => ({
    key: label.label_id,
    at: label.labelled_at,
    by: label.author ?? label.source,
    what: `${label.source === "analyst" ? "labelled" : `${label.source}:`} ${label.is_fraud ? "fraud" : "genuine"}`,
    detail: label.fraud_type ? words(label.fraud_type) : "",
  }));
  return [...events, ...labels].sort((a, b) => b.at - a.at);
}

export function History(props: HistoryProps) {
  const events = eventsOf(props);
  return (
    <Panel title="History">
      {props.file.error && <p className="text-decline">The case: {told(props.file.error)}</p>}
      {events.length === 0 && !props.file.error && (
        <p className="text-soft">Nobody has done anything here yet.</p>
      )}
      <ol className="space-y-2">
        {events.map((event) => (
          <li key={event.key}>
            <div className="flex items-baseline gap-2">
              <span className="truncate">
                <b className="font-medium">{event.by}</b> {words(event.what)}
              </span>
              <When at={event.at} className="ml-auto text-xs text-soft" />
            </div>
            {event.detail && <p className="break-words text-soft">{event.detail}</p>}
          </li>
        ))}
      </ol>
    </Panel>
  );
}
