/** Raw data last. */
import type { DecisionShown } from "../api/types";
import { exact, figure } from "../format";
import { Facts } from "../ui/frame";

export function Recorded({ decision }: { decision: DecisionShown }) {
  const features = Object.entries(decision.features);
  return (
    <details className="rounded-lg border border-line bg-surface px-3 py-2">
      <summary className="cursor-pointer font-medium">All that is recorded</summary>
      <div className="mt-3 grid gap-6 @2xl:grid-cols-3">
        <Table title="Payment" entries={Object.entries(decision.transaction)} />
        <Table title="Features, as scored" entries={features} none="The catalog is not at hand." />
        <div className="grid content-start gap-6">
          <Table title="Versions" entries={Object.entries(decision.versions)} />
          <Table title="Members, log-odds" entries={Object.entries(decision.members)} />
          <Table
            title="Decision"
            entries={[
              ["decided in the log", decision.line.sequence],
              ["event time", exact(decision.line.event_time)],
              ["codes", decision.codes.join(", ")],
              ["answered before", decision.answered ? JSON.stringify(decision.answered) : "no"],
            ]}
          />
        </div>
      </div>
    </details>
  );
}

function Table({
  title,
  entries,
  none,
}: {
  title: string;
  entries: [string, unknown][];
  none?: string;
}) {
  return (
    <section className="min-w-0">
      <h3 className="mb-1 font-medium">{title}</h3>
      {entries.length === 0 && <p className="text-soft">{none ?? "none"}</p>}
      <Facts>
        {entries.map(([name, value]) => (
          <Entry key={name} name={name} value={value} />
        ))}
      </Facts>
    </section>
  );
}

function Entry({ name, value }: { name: string; value: unknown }) {
  const isFigure = typeof value === "number" && !Number.isInteger(value);
  const text = value === null ? "none" : isFigure ? figure(value) : String(value);
  return (
    <>
      <dt className="break-all text-xs">{name}</dt>
      <dd className="text-right font-mono text-xs">{text}</dd>
    </>
  );
}
