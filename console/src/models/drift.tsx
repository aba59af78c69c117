/** The last day beside what the champion learnt from, signal by signal; bands that were left. */
import type { DriftNow, LeftBand, SignalDrift } from "../api/types";
import { counted, day, figure, percent, words } from "../format";
import { Panel } from "../ui/frame";
import { Tag, When } from "../ui/words";

const SHOWN = 8;

export function Drift({ now, left }: { now: DriftNow | null; left: LeftBand[] }) {
  return (
    <Panel
      title="Drift"
      aside={
        now &&
        `${counted(now.window.rows, "payment")} of the last day beside ${day(now.reference_start)} to ${day(now.reference_stop)}`
      }
    >
      <Left left={left} />
      {now ? (
        <Signals now={now} />
      ) : (
        <p className="mt-2 text-soft">
          Features are compared once the learner has read a week of decisions before the last day.
        </p>
      )}
    </Panel>
  );
}

function Signals({ now }: { now: DriftNow }) {
  const drifted = new Set(now.window.findings.map((found) => found.signal));
  const ordered = now.window.comparisons.toSorted(
    (a, b) =>
      Number(drifted.has(b.signal)) - Number(drifted.has(a.signal)) || excess(b) - excess(a),
  );
  const largest = Math.max(...ordered.map(excess), 0.1);
  return (
    <>
      <p className={`mt-2 ${drifted.size ? "text-review" : "text-approve"}`}>
        {drifted.size === 0
          ? `✓ None of ${counted(ordered.length, "signal")} differs by more than its days used to.`
          : `◐ ${counted(drifted.size, "signal")} of ${ordered.length} drifted.`}
      </p>
      <ul className="mt-2 space-y-1">
        {ordered.slice(0, SHOWN).map((one) => (
          <li
            key={one.signal}
            className="grid grid-cols-[minmax(0,1fr)_minmax(96px,30%)_56px] items-center gap-3"
            title={`PSI ${figure(one.psi)}, usual ${figure(one.psi_usual)}; KS ${figure(one.ks)}, usual ${figure(one.ks_usual)}`}
          >
            <span className="truncate">
              {words(one.signal)}{" "}
              {drifted.has(one.signal) && <Tag tone="text-review">{one.severity}</Tag>}
            </span>
            <span aria-hidden className="h-1 rounded-full bg-raised">
              <span
                className="block h-1 rounded-full"
                style={{
                  width: `${Math.max(1, (100 * excess(one)) / largest)}%`,
                  background: `var(--${drifted.has(one.signal) ? "review" : "soft"})`,
                }}
              />
            </span>
            <span className="text-right">{excess(one).toFixed(3)}</span>
          </li>
        ))}
      </ul>
      <p className="mt-1 text-xs text-soft">
        PSI beyond what is usual between days; from 0.1 on it is called moderate, from 0.25 major.
      </p>
    </>
  );
}

const excess = (one: SignalDrift) => Math.max(0, one.psi - one.psi_usual);

/** Champions that left the band. */
function Left({ left }: { left: LeftBand[] }) {
  return (
    <>
      {left.length === 0 && (
        <p className="text-approve">
          ✓ No champion has left the band that its evaluation predicted.
        </p>
      )}
      <ul className="space-y-2">
        {left.map(({ at, departure, band }) => (
          <li key={at}>
            <div className="flex items-baseline gap-2">
              <span>
                <b className="font-medium">{words(departure.kind)}</b> rose to{" "}
                {percent(departure.share)}
                <span className="text-soft">
                  , predicted at most {percent(departure.predicted)}
                </span>
              </span>
              <When at={at} className="ml-auto text-xs text-soft" />
            </div>
            <p className="text-xs text-soft">
              {band.champion} was rolled back to {band.replaced}
            </p>
          </li>
        ))}
      </ul>
    </>
  );
}
