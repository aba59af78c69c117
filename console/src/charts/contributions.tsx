/** What spoke for fraud and what against it: signed bars from one middle, in words. */

import type { ReasonShown } from "../api/types";
import { counted, signed } from "../format";

const SHOWN = 7;
/** What every payment starts from: how rare fraud is. */
const BASE_RATE = "base_rate";

export function Contributions({ parts: all }: { parts: ReasonShown[] }) {
  const base = all.find((part) => part.code === BASE_RATE);
  const parts = all.filter((part) => part !== base);
  const shown = parts.slice(0, SHOWN);
  const rest = parts.slice(SHOWN);
  const restSum = rest.reduce((sum, part) => sum + part.log_odds, 0);
  const largest = Math.max(...shown.map((part) => Math.abs(part.log_odds)), 0.1);
  return (
    <div>
      <div
        aria-hidden
        className="mb-1 grid grid-cols-[minmax(0,1fr)_minmax(112px,36%)_44px] gap-3 text-xs text-soft"
      >
        <span />
        <span className="flex justify-between">
          <span>← genuine</span>
          <span>fraud →</span>
        </span>
      </div>
      <ul className="space-y-1">
        {shown.map((part, n) => {
          const isFor = part.log_odds > 0;
          const width = (48 * Math.abs(part.log_odds)) / largest;
          return (
            <li
              key={n}
              className="grid grid-cols-[minmax(0,1fr)_minmax(112px,36%)_44px] items-center gap-3"
              title={part.feature ? `${part.feature} = ${part.value ?? "none"}` : part.code}
            >
              <span>{part.text}</span>
              <svg aria-hidden="true" width="100%" height="12">
                <line x1="50%" x2="50%" y1="0" y2="12" stroke="var(--soft)" />
                <rect
                  x={`${isFor ? 50.5 : 49.5 - width}%`}
                  y="2"
                  width={`${Math.max(0.6, width)}%`}
                  height="8"
                  rx="1.5"
                  fill={`var(--${isFor ? "decline" : "approve"})`}
                />
              </svg>
              <span className={`text-right ${isFor ? "text-decline" : "text-approve"}`}>
                {signed(part.log_odds)}
              </span>
            </li>
          );
        })}
      </ul>
      {rest.length > 0 && (
        <p className="mt-1 text-xs text-soft">
          and {counted(rest.length, "smaller one")}, together {signed(restSum)}
        </p>
      )}
      {base && (
        <p className="mt-1 text-xs text-soft">
          Every payment starts from {signed(base.log_odds)}: fraud is rare.
        </p>
      )}
    </div>
  );
}
