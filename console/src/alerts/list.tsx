/** The queue on the screen: only the rows in view exist, and the place in it is kept. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef } from "react";
import { money, roundMoney, shortened, words } from "../format";
import { judgementOf, useJudgements } from "../judging";
import { useBase } from "../session";
import { ActionBadge, LabelBadge, Tag, When } from "../ui/words";
import type { Group } from "./queue";

const ROW = 64;

interface ListProps {
  groups: Group[];
  chosen: number;
  skipped: ReadonlySet<string>;
  /** More alerts are to come, of these cases too. */
  isPart: boolean;
  onChoose: (index: number) => void;
  onEnd: () => void;
}

/** When rows above go or come, what one was looking at stays where it was on the screen. */
function usePlaceKept(
  box: React.RefObject<HTMLDivElement | null>,
  groups: Group[],
  chosen: number,
) {
  const anchor = useRef<{ key: string; index: number }>(null);
  useLayoutEffect(() => {
    const at = box.current;
    const before = anchor.current;
    if (!at || !before) return;
    const index = groups.findIndex((group) => group.key === before.key);
    if (index >= 0 && index !== before.index) at.scrollTop += (index - before.index) * ROW;
  }, [box, groups]);
  useLayoutEffect(() => {
    const at = box.current;
    if (!at) return;
    const first = Math.ceil(at.scrollTop / ROW);
    const isInView = chosen >= first && (chosen + 1) * ROW <= at.scrollTop + at.clientHeight;
    const index = isInView ? chosen : first;
    const group = groups[index];
    anchor.current = group ? { key: group.key, index } : null;
  });
}

export function List({ groups, chosen, skipped, isPart, onChoose, onEnd }: ListProps) {
  const box = useRef<HTMLDivElement>(null);
  usePlaceKept(box, groups, chosen);
  const rows = useVirtualizer({
    count: groups.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 8,
  });
  const shown = rows.getVirtualItems();
  const isNearEnd = (shown.at(-1)?.index ?? 0) >= groups.length - 20;
  const key = groups[chosen]?.key;
  useEffect(() => {
    if (key !== undefined) rows.scrollToIndex(chosen, { align: "auto" });
  }, [key]);
  useEffect(() => {
    if (isNearEnd) onEnd();
  }, [isNearEnd, onEnd]);
  return (
    <div
      ref={box}
      role="listbox"
      aria-label="Queue"
      tabIndex={0}
      aria-activedescendant={key === undefined ? undefined : `row-${chosen}`}
      className="min-h-0 grow overflow-y-auto [overflow-anchor:none]"
    >
      <div className="relative" style={{ height: rows.getTotalSize() }}>
        {shown.map(({ index, start }) => {
          const group = groups[index];
          if (!group) return null;
          return (
            <Row
              key={group.key}
              group={group}
              index={index}
              top={start}
              isChosen={index === chosen}
              isSkipped={skipped.has(group.key)}
              isPart={isPart}
              onChoose={onChoose}
            />
          );
        })}
      </div>
    </div>
  );
}

interface RowProps {
  group: Group;
  index: number;
  top: number;
  isChosen: boolean;
  isSkipped: boolean;
  isPart: boolean;
  onChoose: (index: number) => void;
}

function Row({ group, index, top, isChosen, isSkipped, isPart, onChoose }: RowProps) {
  const base = useBase();
  const [first, ...others] = group.alerts;
  const { line } = first;
  const judged = judgementOf(useJudgements(), line.transaction_id);
  const place = line.merchant_country ?? line.country;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: j, k and enter are the page's
    <div
      id={`row-${index}`}
      role="option"
      tabIndex={-1}
      aria-selected={isChosen}
      data-transaction={line.transaction_id}
      onClick={() => onChoose(index)}
      style={{ top, height: ROW }}
      className={`absolute inset-x-0 flex cursor-pointer flex-col justify-center gap-0.5 border-b border-l-2 border-b-line px-3 ${isChosen ? "border-l-accent bg-accent-soft" : "border-l-transparent hover:bg-raised"}`}
    >
      <div className="flex items-center gap-2">
        <ActionBadge action={line.action} />
        <span className="truncate" title={line.merchant_id ?? ""}>
          {line.merchant_id ?? "unknown merchant"}
          {place && `, ${place}`}
        </span>
        {judged && <LabelBadge isFraud={judged.finding === "fraud"} />}
        {!judged && isSkipped && <Tag tone="text-soft">skipped</Tag>}
        <span className="ml-auto shrink-0 font-medium">
          {money(line.amount_minor, line.currency)}
        </span>
      </div>
      <div className="flex items-center gap-2 text-xs text-soft">
        <span className="truncate" title={line.reason_text}>
          {line.reason_text || words(line.reason)}
        </span>
        <span
          className="ml-auto shrink-0"
          title={`Expected loss ${roundMoney(group.expectedLossBaseMinor, base)}`}
        >
          at risk {roundMoney(group.expectedLossBaseMinor, base)}
        </span>
      </div>
      <div className="flex items-center gap-2 text-xs text-soft">
        <span className="truncate font-mono" title={line.card_id ?? ""}>
          {shortened(line.card_id ?? "no card", 18)}
        </span>
        {others.length > 0 && <Tag>{`${group.alerts.length}${isPart ? "+" : ""} alerts`}</Tag>}
        {first.status === "claimed" && <Tag>claimed</Tag>}
        <When at={line.event_time} className="ml-auto" />
      </div>
    </div>
  );
}
