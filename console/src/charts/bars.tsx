/** Bars that rank things: a name, a bar, a figure. */
import type { ReactNode } from "react";

export interface Bar {
  key: string;
  name: ReactNode;
  value: number;
  shown: string;
  aside?: string;
}

export function Bars({ bars, tone = "accent" }: { bars: Bar[]; tone?: string }) {
  const largest = Math.max(...bars.map((bar) => bar.value), 1e-9);
  return (
    <ul className="space-y-1.5">
      {bars.map((bar) => (
        <li key={bar.key}>
          <div className="flex items-baseline justify-between gap-3">
            <span className="min-w-0 truncate">{bar.name}</span>
            <span className="shrink-0 whitespace-nowrap">
              {bar.aside && <span className="mr-2 text-xs text-soft">{bar.aside}</span>}
              {bar.shown}
            </span>
          </div>
          <div aria-hidden className="mt-0.5 h-1 rounded-full bg-raised">
            <div
              className="h-1 rounded-full motion-safe:transition-[width] duration-500"
              style={{
                width: `${Math.max(1, (100 * bar.value) / largest)}%`,
                background: `var(--${tone})`,
              }}
            />
          </div>
        </li>
      ))}
    </ul>
  );
}
