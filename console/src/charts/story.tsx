/** A card's last 30 days on one line: amount by time, the payment in question marked. */
import { useEffect, useRef, useState } from "react";
import type { Line } from "../api/types";
import { DAY, day, exact, money, roundMoney } from "../format";
import { go, to } from "../router";
import { useBase } from "../session";
import { actionOf } from "../ui/words";

const HEIGHT = 168;
const LEFT = 58;
const BOTTOM = 42;
const TOP = 10;
const SPAN = 30 * DAY;
const TONES: Record<string, string> = {
  APPROVE: "soft",
  STEP_UP: "review",
  REVIEW: "review",
  DECLINE: "decline",
};

interface StoryProps {
  lines: Line[];
  marked?: Line;
}

export function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const sizes = new ResizeObserver(() => setWidth(at.clientWidth));
    sizes.observe(at);
    return () => sizes.disconnect();
  }, []);
  return [box, width];
}

export interface Stay {
  country: string;
  from: number;
  to: number;
}

/** Where it paid, one stretch after the other; lines: the oldest first. */
export function staysOf(lines: Line[]): Stay[] {
  const stays: Stay[] = [];
  for (const line of lines) {
    const country = line.country ?? line.merchant_country;
    if (!country) continue;
    const last = stays.at(-1);
    if (last?.country === country) last.to = line.event_time;
    else stays.push({ country, from: line.event_time, to: line.event_time });
  }
  return stays;
}

/** The payments of 30 days, the oldest first, with the one in question, and when these days end. */
export function monthOf(lines: Line[], marked?: Line): { month: Line[]; end: number } {
  const known = lines.some((line) => line.transaction_id === marked?.transaction_id);
  const all = (marked && !known ? [...lines, marked] : [...lines]).sort(
    (a, b) => a.event_time - b.event_time,
  );
  const newest = all.at(-1)?.event_time ?? 0;
  const end = Math.max(newest, (marked?.event_time ?? 0) + SPAN / 60);
  return { month: all.filter((line) => line.event_time > end - SPAN), end };
}

const amountOf = (line: Line) => Math.max(1, line.amount_base_minor ?? line.amount_minor);

export function Story({ lines, marked }: StoryProps) {
  const base = useBase();
  const [box, width] = useWidth();
  const { month, end } = monthOf(lines, marked);
  if (month.length === 0) return <p className="text-soft">No payment is known.</p>;
  const amounts = month.map(amountOf);
  // Amounts differ a thousandfold: equal steps are equal factors.
  const [least, most] = [Math.log10(Math.min(...amounts)), Math.log10(Math.max(...amounts))];
  const isNarrow = most - least < 1; // then to the powers around, so that the axis has two
  const low = isNarrow ? Math.floor(least) - 0.1 : least - 0.15;
  const high = isNarrow ? Math.max(Math.ceil(most), Math.floor(least) + 1) + 0.1 : most + 0.2;
  const right = width - 10;
  const x = (at: number) => LEFT + ((at - (end - SPAN)) / SPAN) * (right - LEFT);
  const y = (amount: number) =>
    TOP + (1 - (Math.log10(amount) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const powers = [];
  for (let power = Math.ceil(low); power <= high; power += 1) powers.push(10 ** power);
  const weeks = Array.from({ length: 5 }, (_, n) => end - SPAN + ((n * 2 + 1) * SPAN) / 10);
  return (
    <div ref={box}>
      <svg
        width={width}
        height={HEIGHT}
        role="group"
        aria-label={`${month.length} payments in 30 days`}
      >
        {powers.map((power) => (
          <g key={power}>
            <line x1={LEFT} x2={right} y1={y(power)} y2={y(power)} stroke="var(--line)" />
            <text x={LEFT - 6} y={y(power) + 4} textAnchor="end" className="fill-soft text-[11px]">
              {power < 100 ? money(power, base) : roundMoney(power, base)}
            </text>
          </g>
        ))}
        {weeks.map((at) => (
          <text
            key={at}
            x={x(at)}
            y={HEIGHT - 2}
            textAnchor="middle"
            className="fill-soft text-[11px]"
          >
            {day(at)}
          </text>
        ))}
        <Stays stays={staysOf(month)} x={x} right={right} />
        {marked && (
          <line
            x1={x(marked.event_time)}
            x2={x(marked.event_time)}
            y1={TOP}
            y2={HEIGHT - BOTTOM}
            stroke="var(--accent)"
            strokeDasharray="3 3"
          />
        )}
        {month.map((line) => {
          const isMarked = line.transaction_id === marked?.transaction_id;
          return (
            <Dot
              key={line.transaction_id}
              line={line}
              x={x(line.event_time)}
              y={y(amountOf(line))}
              isMarked={isMarked}
            />
          );
        })}
      </svg>
    </div>
  );
}

interface StaysProps {
  stays: Stay[];
  x: (at: number) => number;
  right: number;
}

function Stays({ stays, x, right }: StaysProps) {
  let free = 0;
  return (
    <g>
      {stays.map((stay) => {
        const from = x(stay.from);
        const hasRoom = from > free;
        if (hasRoom) free = from + 24;
        return (
          <g key={stay.from}>
            <rect
              x={from - 2}
              y={HEIGHT - BOTTOM + 6}
              width={Math.max(4, x(stay.to) - from + 4)}
              height={3}
              rx={1.5}
              fill="var(--soft)"
              opacity={0.5}
            />
            {hasRoom && (
              <text
                x={Math.min(from - 2, right - 12)}
                y={HEIGHT - BOTTOM + 21}
                className="fill-ink text-[11px]"
              >
                {stay.country}
              </text>
            )}
          </g>
        );
      })}
    </g>
  );
}

interface DotProps {
  line: Line;
  x: number;
  y: number;
  isMarked: boolean;
}

/** Approved: a ring; reviewed: a diamond; declined: a cross. */
function Dot({ line, x, y, isMarked }: DotProps) {
  const tone = `var(--${TONES[line.action] ?? "soft"})`;
  const label = `${money(line.amount_minor, line.currency)} at ${line.merchant_id ?? "unknown"}, ${line.merchant_country ?? line.country ?? ""} · ${actionOf(line.action).past} · ${exact(line.event_time)}`;
  const size = isMarked ? 6 : 4;
  return (
    <a
      href={to.decision(line.transaction_id)}
      aria-label={label}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey) return;
        event.preventDefault();
        go(to.decision(line.transaction_id));
      }}
    >
      <title>{label}</title>
      <circle cx={x} cy={y} r={10} fill="transparent" />
      {isMarked && (
        <circle cx={x} cy={y} r={10} fill="none" stroke="var(--accent)" strokeWidth={2} />
      )}
      {line.action === "APPROVE" && (
        <circle
          cx={x}
          cy={y}
          r={size - 0.5}
          fill="var(--surface)"
          stroke={tone}
          strokeWidth={1.5}
        />
      )}
      {line.action === "DECLINE" && (
        <path
          d={`M${x - size} ${y - size}L${x + size} ${y + size}M${x + size} ${y - size}L${x - size} ${y + size}`}
          stroke={tone}
          strokeWidth={2.5}
        />
      )}
      {(line.action === "REVIEW" || line.action === "STEP_UP") && (
        <path
          d={`M${x} ${y - size - 1}l${size + 1} ${size + 1}l-${size + 1} ${size + 1}l-${size + 1} -${size + 1}z`}
          fill={tone}
        />
      )}
    </a>
  );
}
