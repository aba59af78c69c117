/** How the system is: worker, lag, stores, snapshot, versions, and refused records. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get } from "../api/client";
import type { DeadLetterShown, DeadLetters, SystemState, Told } from "../api/types";
import { bytes, count, counted, duration, figure, shortened, words } from "../format";
import { setQuery, usePlace } from "../router";
import { Button, Chip, Facts, Panel } from "../ui/frame";
import { Empty, Failed, Loaded, Skeleton } from "../ui/states";
import { Id, Tag, When } from "../ui/words";

const FIRST = new Set(["phase", "ready", "reasons"]);

export default function System() {
  const query = useQuery({
    queryKey: ["system"],
    queryFn: () => get<SystemState>("/v1/system"),
    refetchInterval: 5_000,
  });
  return (
    <div className="mx-auto max-w-[1440px] p-4">
      <Loaded query={query} what="the system" skeleton={<Skeleton lines={14} />}>
        {(state) => <Shown state={state} />}
      </Loaded>
      <Refused />
    </div>
  );
}

function Shown({ state }: { state: SystemState }) {
  const parts = Object.entries(state).filter(([name]) => !FIRST.has(name));
  const boxes = parts.filter(([, value]) => typeof value === "object" && value !== null);
  const loose = parts.filter(([, value]) => typeof value !== "object" || value === null);
  return (
    <>
      <header className="mb-3 flex items-center gap-3">
        <h1 className="text-lg font-semibold">System</h1>
        <span className={state.ready ? "text-approve" : "text-review"}>
          {state.ready ? "● ready" : `◐ not ready: ${state.phase ?? "the worker does not answer"}`}
        </span>
      </header>
      {state.reasons.length > 0 && (
        <ul role="alert" className="mb-3 rounded-lg bg-review-soft px-3 py-2 text-review">
          {state.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      <div className="columns-3 gap-3">
        {boxes.map(([name, value]) => (
          <div key={name} className="break-inside-avoid pb-3">
            <Panel title={capital(name)}>
              <Value name={name} value={value} />
            </Panel>
          </div>
        ))}
        {loose.length > 0 && (
          <div className="break-inside-avoid pb-3">
            <Panel title="Other">
              <Value name="" value={Object.fromEntries(loose)} />
            </Panel>
          </div>
        )}
      </div>
    </>
  );
}

function capital(name: string): string {
  return words(name.charAt(0).toUpperCase() + name.slice(1));
}

/** By the units that names end with. */
function Value({ name, value }: { name: string; value: Told | undefined }) {
  if (value === null || value === undefined) return <span className="text-soft">none</span>;
  if (typeof value === "boolean") {
    return (
      <span className={value ? "text-approve" : "text-decline"}>{value ? "✓ yes" : "✕ no"}</span>
    );
  }
  if (typeof value === "number") {
    if (/(^|_)at$/.test(name) && value > 1e11) return <When at={value} />;
    if (name.endsWith("_timestamp_seconds")) return <When at={value * 1000} />;
    if (name.endsWith("_seconds")) return duration(value * 1000);
    if (name.endsWith("_ms")) return <>{duration(value)}</>;
    if (name.endsWith("_per_s")) return `${figure(value)} /s`;
    if (name.endsWith("_s")) return <>{duration(value * 1000)}</>;
    if (/(^|_)bytes$/.test(name)) return <>{bytes(value)}</>;
    return <>{figure(value)}</>;
  }
  if (typeof value === "string") {
    return value.length > 34 && !value.includes(" ") ? <Id id={value} most={26} /> : value;
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return <span className="text-soft">none</span>;
    return (
      <ul className="space-y-2">
        {value.map((one, n) => (
          <li key={n}>
            <Value name={name} value={one} />
          </li>
        ))}
      </ul>
    );
  }
  const parts = Object.entries(value);
  if (parts.every(([, one]) => one === null)) return <span className="text-soft">none</span>;
  return (
    <Facts>
      {parts.map(([key, one]) => (
        <Fact key={key} name={key} value={one} />
      ))}
    </Facts>
  );
}

function Fact({ name, value }: { name: string; value: Told }) {
  const [, plain = name, labels = ""] = /^([^{]*)(?:\{(.*)\})?$/.exec(name) ?? [];
  const label = words(plain.replace(/_(per_s|ms|s|at|bytes|timestamp_seconds|seconds|total)$/, ""));
  if (name === "metrics") return <Metrics value={value} />;
  const isBox = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isBox) {
    return (
      <>
        <dt className="col-span-2 font-medium text-ink! not-first:mt-1 not-first:border-t not-first:border-line not-first:pt-1">
          {label}
        </dt>
        <dd className="col-span-2">
          <Value name={name} value={value} />
        </dd>
      </>
    );
  }
  return (
    <>
      <dt>
        {label} <span className="break-all">{labels}</span>
      </dt>
      <dd className="text-right">
        <Value name={plain} value={value} />
      </dd>
    </>
  );
}

// What tells at a glance whether it keeps up.
const TELLING = /(^|_)(lag|behind|front|state)_/;

/** Many, and most seldom wanted: folded. */
function Metrics({ value }: { value: Told }) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const all = Object.entries(value);
  const rest = all.filter(([name]) => !TELLING.test(name));
  return (
    <>
      {all
        .filter(([name]) => TELLING.test(name))
        .map(([name, one]) => (
          <Fact key={name} name={name} value={one} />
        ))}
      {rest.length > 0 && (
        <>
          <dt className="sr-only">more</dt>
          <dd className="col-span-2">
            <details>
              <summary className="cursor-pointer text-soft hover:text-ink">
                {counted(rest.length, "other metric")}
              </summary>
              <div className="mt-1 text-xs">
                <Value name="" value={Object.fromEntries(rest)} />
              </div>
            </details>
          </dd>
        </>
      )}
    </>
  );
}

function Refused() {
  const { query } = usePlace();
  const reason = query.get("reason");
  const letters = useInfiniteQuery({
    queryKey: ["dead-letters", reason],
    queryFn: ({ pageParam }) => get<DeadLetters>("/v1/dead-letters", { reason, cursor: pageParam }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchInterval: 30_000,
  });
  const items = letters.data?.pages.flatMap((page) => page.items) ?? [];
  const reasons = new Map<string, number>();
  for (const one of items) reasons.set(one.reason, (reasons.get(one.reason) ?? 0) + 1);
  return (
    <Panel
      title="Refused records"
      aside={
        <>
          {reason !== null && (
            <Chip isOn onClick={() => setQuery({ reason: null })}>
              {words(reason)} ✕
            </Chip>
          )}
          {reason === null &&
            [...reasons].map(([name, found]) => (
              <Chip key={name} isOn={false} onClick={() => setQuery({ reason: name })}>
                {words(name)} {count(found)}
                {letters.hasNextPage && "+"}
              </Chip>
            ))}
        </>
      }
      isBare
    >
      {letters.isLoading && <Skeleton lines={4} />}
      {letters.error && items.length === 0 && (
        <Failed
          what="the refused records"
          error={letters.error}
          retry={() => void letters.refetch()}
        />
      )}
      {letters.data && items.length === 0 && (
        <Empty title="No record was refused">Every record that came could be read.</Empty>
      )}
      <ul className="divide-y divide-line">
        {items.map((one) => (
          <Letter key={`${one.topic} ${one.sequence}`} letter={one} />
        ))}
      </ul>
      {letters.hasNextPage && (
        <div className="border-t border-line p-2 text-center">
          <Button
            onClick={() => void letters.fetchNextPage()}
            disabled={letters.isFetchingNextPage}
          >
            Older ones
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Letter({ letter }: { letter: DeadLetterShown }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li>
      <button
        type="button"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
        className="grid w-full grid-cols-[16px_180px_minmax(0,1fr)_auto] items-center gap-2 px-3 py-1.5 text-left hover:bg-raised"
      >
        <span aria-hidden className="text-soft">
          {isOpen ? "▾" : "▸"}
        </span>
        <span>
          <Tag>{words(letter.reason)}</Tag>
        </span>
        <span className="truncate">{letter.detail}</span>
        <span className="text-xs text-soft">
          {shortened(letter.topic, 24)} · {count(letter.sequence)}
        </span>
      </button>
      {isOpen && (
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
          tabIndex={0}
          className="mx-3 mb-3 max-h-64 overflow-auto rounded-md bg-raised px-2.5 py-2 font-mono text-xs break-all whitespace-pre-wrap"
        >
          {letter.payload}
        </pre>
      )}
    </li>
  );
}
