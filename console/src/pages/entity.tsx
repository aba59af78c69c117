/** An entity: how risky now, what is usual and what is not, what it did, and with whom. */

import type { EntityKind, EntityShown, Habit } from "../api/types";
import { useEntity } from "../case/data";
import { Links } from "../charts/links";
import { Month } from "../charts/month";
import { Story } from "../charts/story";
import { count, counted, figure, money, roundMoney, shortened, words } from "../format";
import { Link, to, usePlace } from "../router";
import { useBase } from "../session";
import { Facts, Panel, Stat } from "../ui/frame";
import { Empty, Loaded, Skeleton } from "../ui/states";
import { ActionBadge, Id, LabelBadge, Tag, When } from "../ui/words";

const RISKS = {
  high: { sign: "▲", word: "High risk", style: "bg-decline-soft text-decline" },
  raised: { sign: "◐", word: "Raised risk", style: "bg-review-soft text-review" },
  low: { sign: "✓", word: "Low risk", style: "bg-approve-soft text-approve" },
};

export default function Entity() {
  const { parts } = usePlace();
  const [, kind, id] = parts;
  if (!kind || !id) return <Empty title="The address names no entity" />;
  return <Named key={`${kind} ${id}`} kind={kind as EntityKind} id={id} />;
}

function Named({ kind, id }: { kind: EntityKind; id: string }) {
  const query = useEntity(kind, id);
  return (
    <div className="mx-auto max-w-[1440px] p-4">
      <Loaded query={query} what={`the ${kind}`} skeleton={<Skeleton lines={14} />}>
        {(entity) => <Shown entity={entity} />}
      </Loaded>
    </div>
  );
}

function Shown({ entity }: { entity: EntityShown }) {
  const risk = RISKS[entity.risk];
  return (
    <article>
      <header className="flex items-center gap-3">
        <h1 className="text-xl font-semibold">
          <span className="font-normal text-soft">{entity.kind} </span>
          <Id id={entity.id} most={40} className="text-lg!" />
        </h1>
        <span className={`inline-flex gap-1 rounded px-2 font-medium ${risk.style}`}>
          <span aria-hidden>{risk.sign}</span> {risk.word}
        </span>
      </header>
      <div className="mt-3 grid grid-cols-4 gap-3">
        <Stat name="Payments">{count(entity.transaction_count)}</Stat>
        <Stat name="Not approved">{count(entity.not_approved_count)}</Stat>
        <Stat name="Labelled fraud">{count(entity.fraud_count)}</Stat>
        <Stat name="Highest score">{entity.score_max ?? "–"}</Stat>
      </div>
      <div className="mt-3 grid grid-cols-[minmax(0,1fr)_380px] items-start gap-3">
        <div className="grid gap-3">
          <Panel title="30 days">
            {entity.kind === "merchant" ? (
              <Story lines={entity.history} />
            ) : (
              <Month lines={entity.history} />
            )}
          </Panel>
          <Panel title="What hangs together" aside="a click goes there">
            <Links entity={entity} />
          </Panel>
          <Payments entity={entity} />
        </div>
        <div className="grid gap-3">
          <Usual habit={entity.habit} today={entity.today} />
          <AllLinked entity={entity} />
          <Labels entity={entity} />
          <Features entity={entity} />
        </div>
      </div>
    </article>
  );
}

function Usual({ habit, today }: { habit: Habit; today: Habit }) {
  const base = useBase();
  const typical = (one: Habit) =>
    one.amount_base_minor_median === null ? "–" : roundMoney(one.amount_base_minor_median, base);
  const rows: [string, string, string, boolean][] = [
    [
      "payments a day",
      habit.transaction_count === 0 ? "–" : habit.per_day.toFixed(1),
      count(today.transaction_count),
      today.transaction_count > 3 * habit.per_day + 2,
    ],
    ["typical amount", typical(habit), typical(today), isFar(habit, today)],
  ];
  const sets: [string, string[], string[]][] = [
    ["countries", habit.countries, today.countries],
    ["merchants", habit.merchants, today.merchants],
    ["devices", habit.devices, today.devices],
    ["categories", habit.categories.map(words), today.categories.map(words)],
  ];
  return (
    <Panel title="Usual, and its newest day" isBare>
      <table className="w-full table-fixed [&_td]:px-3 [&_td]:py-1 [&_th]:px-3 [&_th]:py-1">
        <thead className="text-xs text-soft">
          <tr className="border-b border-line">
            <th className="w-28">
              <span className="sr-only">What</span>
            </th>
            <th>usual</th>
            <th>newest day</th>
          </tr>
        </thead>
        <tbody className="align-top">
          {rows.map(([name, usual, now, isUnusual]) => (
            <tr key={name}>
              <th scope="row" className="font-normal text-soft">
                {name}
              </th>
              <td>{usual}</td>
              <td className={isUnusual ? "font-medium text-decline" : ""}>
                {isUnusual && <span aria-hidden>▲ </span>}
                {now}
              </td>
            </tr>
          ))}
          {sets.map(([name, usual, now]) => (
            <tr key={name}>
              <th scope="row" className="font-normal text-soft">
                {name}
              </th>
              <td className="break-words">
                {usual.map((one) => shortened(one, 14)).join(", ") || "–"}
              </td>
              <td>
                {now.length === 0 && "–"}
                {now.map((one) => (
                  <span key={one} title={one} className="mr-1.5 inline-block">
                    {shortened(one, 14)}
                    {usual.length > 0 && !usual.includes(one) && (
                      <span className="text-review"> new</span>
                    )}
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function isFar(
  { amount_base_minor_median: usual }: Habit,
  { amount_base_minor_median: now }: Habit,
): boolean {
  return usual !== null && now !== null && now > 4 * usual;
}

function AllLinked({ entity }: { entity: EntityShown }) {
  if (entity.linked.length === 0) return null;
  return (
    <Panel title="Linked entities" aside={count(entity.linked.length)} isBare>
      <ul className="max-h-64 overflow-y-auto py-1">
        {entity.linked.map((one) => (
          <li key={`${one.kind} ${one.id}`}>
            <Link
              href={to.entity(one.kind, one.id)}
              className="grid grid-cols-[64px_minmax(0,1fr)_auto] items-center gap-2 px-3 py-1 hover:bg-raised"
            >
              <span className="text-xs text-soft">{one.kind}</span>
              <span title={one.id} className="truncate font-mono text-xs">
                {shortened(one.id, 22)}
              </span>
              <span className="flex gap-1.5 text-xs text-soft">
                {one.fraud_count > 0 && (
                  <Tag tone="text-decline">✕ {counted(one.fraud_count, "fraud")}</Tag>
                )}
                {one.shared_cards > 0 && (
                  <Tag tone="text-review">{counted(one.shared_cards, "card")}</Tag>
                )}
                {count(one.transaction_count)}
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Payments({ entity }: { entity: EntityShown }) {
  return (
    <Panel title="Payments" aside={`the newest ${count(entity.history.length)}`} isBare>
      {entity.history.length === 0 && <Empty title="No payment is known" />}
      <div className="max-h-[480px] overflow-y-auto">
        <table className="w-full table-fixed">
          <thead className="sticky top-0 bg-surface text-xs text-soft">
            <tr className="[&>th]:border-b [&>th]:border-line [&>th]:px-3 [&>th]:py-1.5">
              <th className="w-28">Time</th>
              <th className="w-36 text-right!">Amount</th>
              <th className="w-28">Action</th>
              <th className="w-40">{entity.kind === "merchant" ? "Card" : "Merchant"}</th>
              <th>Strongest reason</th>
              <th className="w-24">Label</th>
            </tr>
          </thead>
          <tbody>
            {entity.history.map((line) => (
              <tr
                key={line.transaction_id}
                className="hover:bg-raised [&>td]:truncate [&>td]:px-3 [&>td]:py-1"
              >
                <td className="text-soft">
                  <When at={line.event_time} />
                </td>
                <td className="text-right">
                  <Link href={to.decision(line.transaction_id)} className="hover:underline">
                    {money(line.amount_minor, line.currency)}
                  </Link>
                </td>
                <td>
                  <ActionBadge action={line.action} />
                </td>
                <td title={(entity.kind === "merchant" ? line.card_id : line.merchant_id) ?? ""}>
                  {entity.kind === "merchant" ? shortened(line.card_id ?? "–") : line.merchant_id}
                </td>
                <td className="text-soft" title={line.reason_text}>
                  {line.reason_text || words(line.reason)}
                </td>
                <td>{line.is_fraud !== null && <LabelBadge isFraud={line.is_fraud} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Labels({ entity }: { entity: EntityShown }) {
  if (entity.labels.length === 0) return null;
  return (
    <Panel title="Labels" isBare>
      <ul className="max-h-52 overflow-y-auto py-1">
        {entity.labels.map((label) => (
          <li key={label.label_id} className="flex items-center gap-2 px-3 py-1">
            <LabelBadge isFraud={label.is_fraud} />
            <Link
              href={to.decision(label.transaction_id)}
              className="truncate font-mono text-xs hover:underline"
            >
              {shortened(label.transaction_id, 18)}
            </Link>
            <span className="ml-auto text-xs text-soft">
              {label.author ?? label.source} · <When at={label.labelled_at} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Features({ entity }: { entity: EntityShown }) {
  const features = Object.entries(entity.features);
  if (features.length === 0) return null;
  return (
    <details className="rounded-lg border border-line bg-surface px-3 py-2">
      <summary className="cursor-pointer font-medium">
        Features, as last scored{" "}
        {entity.features_at ? (
          <When at={entity.features_at} className="font-normal text-soft" />
        ) : null}
      </summary>
      <div className="mt-2">
        <Facts>
          {features.map(([name, value]) => (
            <Feature key={name} name={name} value={value} />
          ))}
        </Facts>
      </div>
    </details>
  );
}

function Feature({ name, value }: { name: string; value: number | null }) {
  return (
    <>
      <dt className="break-all text-xs">{name}</dt>
      <dd className="text-right font-mono text-xs">{value === null ? "none" : figure(value)}</dd>
    </>
  );
}
