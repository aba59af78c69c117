import type { DecisionShown } from "../api/types";
import { money } from "../format";
import { Link, to } from "../router";
import { Panel } from "../ui/frame";
import { Loaded, Skeleton } from "../ui/states";
import { LabelBadge, When } from "../ui/words";
import { useSimilar } from "./data";

const SHOWN = 5;

/** Judged payments with the same reason. */
export function Similar({ decision }: { decision: DecisionShown }) {
  const query = useSimilar(decision);
  const { reason } = decision.line;
  if (!reason) return null;
  return (
    <Panel
      title="Judged, same reason"
      aside={
        <Link
          href={`/alerts?reason=${encodeURIComponent(reason)}`}
          className="text-accent hover:underline"
        >
          In the queue
        </Link>
      }
    >
      <Loaded
        query={query}
        what="similar payments"
        skeleton={<Skeleton lines={3} className="p-0" />}
      >
        {(found) => {
          if (found.length === 0) {
            return (
              <p className="text-soft">Nothing stopped for this reason has been judged yet.</p>
            );
          }
          const frauds = found.filter((line) => line.is_fraud).length;
          return (
            <>
              <p className="mb-1.5">
                <b className="text-decline">{frauds} fraud</b>,{" "}
                <b className="text-approve">{found.length - frauds} genuine</b>
                <span className="text-soft"> of the newest {found.length}</span>
              </p>
              <ul>
                {found.slice(0, SHOWN).map((line) => (
                  <li key={line.transaction_id}>
                    <Link
                      href={to.decision(line.transaction_id)}
                      className="-mx-1 flex items-center gap-2 rounded px-1 py-0.5 hover:bg-raised"
                    >
                      <LabelBadge isFraud={line.is_fraud === true} />
                      <span>{money(line.amount_minor, line.currency)}</span>
                      <When at={line.event_time} className="ml-auto text-xs text-soft" />
                    </Link>
                  </li>
                ))}
              </ul>
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}
