/** What happens now. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { get } from "../api/client";
import type { Action, Now } from "../api/types";
import { Bars } from "../charts/bars";
import { type Curve, Legend, Series } from "../charts/series";
import { type FeedState, useFeed } from "../feed";
import {
  clock,
  count,
  counted,
  countryName,
  exact,
  figure,
  money,
  percent,
  roundMoney,
  shortened,
  words,
} from "../format";
import { Link, to } from "../router";
import { client, useBase } from "../session";
import { Panel, Stat } from "../ui/frame";
import { Empty, Loaded, Skeleton } from "../ui/states";
import { ActionBadge } from "../ui/words";
import { useReading } from "./live-feed";
import { isBehind, keep, kept, type Point, SPAN_S } from "./live-series";

const SPEED: Curve[] = [
  { name: "decisions/s", colour: "accent", scale: "left" },
  { name: "p50 ms", colour: "soft", scale: "right", dash: [2, 3] },
  { name: "p99 ms", colour: "soft", scale: "right" },
];
const STOPPED: Curve[] = [
  { name: "step up", colour: "soft", scale: "left", dash: [2, 3] },
  { name: "review", colour: "review", scale: "left", isFilled: true },
  { name: "decline", colour: "decline", scale: "left", isFilled: true },
];

export function Live() {
  const query = useQuery({
    queryKey: ["live"],
    queryFn: async () => {
      const now = await get<Now>("/v1/live");
      if (isBehind(now)) keep(...(await get<Point[]>("/v1/live/past")));
      keep(now);
      return now;
    },
    refetchInterval: 5_000,
  });
  const take = useCallback((now: Now) => {
    keep(now);
    client.setQueryData(["live"], now);
  }, []);
  const state = useFeed<Now>("statistics", take);
  return (
    <>
      <h1 className="sr-only">Live</h1>
      <Loaded
        query={query}
        what="what happens now"
        skeleton={<Skeleton lines={12} className="p-4" />}
      >
        {(now) => <Page now={now} state={state} />}
      </Loaded>
    </>
  );
}

function Page({ now, state }: { now: Now; state: FeedState }) {
  const series = useMemo(kept, [now]);
  const { latency_ms: latency } = now;
  const stacked = STOPPED.map((_, n) => {
    const key = (["STEP_UP", "REVIEW", "DECLINE"] as Action[])[n];
    return count(now.actions[key ?? "DECLINE"] ?? 0);
  });
  return (
    <div className="grid gap-3 p-4">
      {state.is === "lost" && (
        <p role="status" className="rounded-lg bg-review-soft px-3 py-1.5 text-review">
          <span aria-hidden>◔</span> The live feed was lost at {clock(state.since)}; figures are
          renewed every five seconds until it is back.
        </p>
      )}
      <Figures now={now} />
      <div className="grid grid-cols-2 gap-3">
        <Panel
          title="Throughput and latency"
          aside={
            <Legend
              curves={SPEED}
              now={[count(now.rate), figure(latency.p50), figure(latency.p99)]}
            />
          }
          isBare
        >
          <Series
            curves={SPEED}
            data={series.speed}
            spanS={SPAN_S}
            left={count}
            right={(value) => `${count(value)} ms`}
            label="Decisions per second and their latency, five minutes"
            height={188}
          />
        </Panel>
        <Panel
          title="Not approved, per minute"
          aside={<Legend curves={STOPPED} now={stacked} />}
          isBare
        >
          <Series
            curves={STOPPED}
            data={series.stopped}
            spanS={SPAN_S}
            left={count}
            label="Step-ups, reviews and declines of the last minute, stacked, five minutes"
            height={188}
          />
        </Panel>
      </div>
      <div className="grid grid-cols-[minmax(0,1fr)_340px] items-start gap-3">
        <Feed isBusy={now.rate > 0} />
        <Ranks now={now} />
      </div>
    </div>
  );
}

function Figures({ now }: { now: Now }) {
  const base = useBase();
  const { latency_ms: latency, today, actions } = now;
  const total = Object.values(actions).reduce((sum, one) => sum + one, 0);
  const share = (action: Action) => (total === 0 ? "–" : percent((actions[action] ?? 0) / total));
  return (
    <div className="grid grid-cols-4 gap-3">
      <Stat name="Decisions per second" aside={`${count(today.decisions)} today`}>
        {count(now.rate)}
      </Stat>
      <Stat
        name="Latency p99"
        aside={
          latency.p99 === null
            ? "no answer was measured lately"
            : `p50 ${figure(latency.p50)} ms · p95 ${figure(latency.p95)} ms`
        }
      >
        {latency.p99 === null ? "–" : `${figure(latency.p99)} ms`}
      </Stat>
      <Stat
        name="Approved, last minute"
        aside={`review ${share("REVIEW")} · step up ${share("STEP_UP")} · decline ${share("DECLINE")}`}
      >
        {share("APPROVE")}
      </Stat>
      <Stat name="Stopped today" aside={`${counted(today.not_approved, "payment")} not approved`}>
        {roundMoney(today.stopped_base_minor, base)}
      </Stat>
    </div>
  );
}

function Ranks({ now }: { now: Now }) {
  const base = useBase();
  const risky = now.countries
    .filter((one) => one.stopped_base_minor > 0)
    .toSorted((a, b) => b.stopped_base_minor - a.stopped_base_minor)
    .slice(0, 6);
  return (
    <div className="grid gap-3">
      <Panel title="Money stopped, by country">
        {risky.length === 0 && <Empty title="Nothing was stopped yet today" />}
        <Bars
          tone="decline"
          bars={risky.map((one) => ({
            key: one.word,
            name: (
              <Link
                href={`/alerts?country=${encodeURIComponent(one.word)}`}
                className="hover:underline"
              >
                {countryName(one.word)}
              </Link>
            ),
            value: one.stopped_base_minor,
            shown: roundMoney(one.stopped_base_minor, base),
            aside: counted(one.not_approved_count, "payment"),
          }))}
        />
      </Panel>
      <Panel title="Rules that fire most">
        {now.top_rules.length === 0 && <Empty title="No rule fired lately" />}
        <Bars
          bars={now.top_rules.slice(0, 6).map((rule) => ({
            key: rule.rule_id,
            name: (
              <Link href={`/rules?rule=${rule.rule_id}`} className="hover:underline">
                {words(rule.rule_id)}
              </Link>
            ),
            value: rule.hits,
            shown: count(rule.hits),
          }))}
        />
      </Panel>
      <Panel title="Most attacked merchants">
        {now.top_merchants.length === 0 && <Empty title="None today" />}
        <Bars
          tone="decline"
          bars={now.top_merchants.slice(0, 6).map((one) => ({
            key: one.id,
            name: (
              <Link href={to.entity("merchant", one.id)} className="hover:underline" title={one.id}>
                {shortened(one.id, 26)}
              </Link>
            ),
            value: one.stopped_base_minor,
            shown: roundMoney(one.stopped_base_minor, base),
          }))}
        />
      </Panel>
    </div>
  );
}

function Feed({ isBusy }: { isBusy: boolean }) {
  const [isHovered, setHovered] = useState(false);
  const { lines, waiting, state } = useReading(isHovered);
  const paused = waiting > 0 ? `paused · ${count(waiting)} wait` : "paused";
  return (
    <Panel
      title="Decisions, a sample"
      aside={
        isHovered ? <strong className="text-ink">{paused}</strong> : "pauses under the pointer"
      }
      isBare
    >
      <section
        aria-label="Decisions"
        onMouseEnter={() => setHovered(true)}
        onMouseLeave={() => setHovered(false)}
        className="h-[606px] overflow-y-auto"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        tabIndex={0}
        onFocus={() => setHovered(true)}
        onBlur={() => setHovered(false)}
      >
        {lines.length === 0 && (
          <Empty
            title={
              state.is !== "open"
                ? "Connecting…"
                : isBusy
                  ? "Listening for decisions…"
                  : "No decisions right now"
            }
          >
            {state.is === "open" && !isBusy && (
              <>
                Send some to <code>POST /v1/decisions</code>, or let <code>alcyon demo</code> make
                them.
              </>
            )}
          </Empty>
        )}
        {lines.length > 0 && (
          <table className="w-full table-fixed">
            <thead className="sticky top-0 bg-surface text-xs text-soft">
              <tr className="[&>th]:border-b [&>th]:border-line [&>th]:px-3 [&>th]:py-1.5">
                <th className="w-24">Time</th>
                <th className="w-28">Card</th>
                <th className="w-36">Merchant</th>
                <th className="w-28 text-right!">Amount</th>
                <th className="w-26">Action</th>
                <th>Strongest reason</th>
              </tr>
            </thead>
            <tbody>
              {lines.map((line) => (
                <tr
                  key={line.transaction_id}
                  className="hover:bg-raised [&>td]:truncate [&>td]:px-3 [&>td]:py-1"
                >
                  <td className="text-soft">
                    <time
                      dateTime={new Date(line.event_time).toISOString()}
                      title={exact(line.event_time)}
                    >
                      {clock(line.event_time)}
                    </time>
                  </td>
                  <td title={line.card_id ?? ""} className="font-mono text-xs">
                    {shortened(line.card_id ?? "–", 13)}
                  </td>
                  <td title={line.merchant_id ?? ""}>{line.merchant_id ?? "–"}</td>
                  <td className="text-right">{money(line.amount_minor, line.currency)}</td>
                  <td>
                    <ActionBadge action={line.action} />
                  </td>
                  <td title={line.reason_text}>
                    <Link href={to.decision(line.transaction_id)} className="hover:underline">
                      {line.action === "APPROVE" ? (
                        <span className="text-soft">{line.reason_text || "nothing unusual"}</span>
                      ) : (
                        line.reason_text || words(line.reason)
                      )}
                    </Link>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
    </Panel>
  );
}
