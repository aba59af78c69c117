/** How both models' scores are spread over the same payments. */
import type { Finding } from "../api/types";
import { count, figure } from "../format";
import { Panel } from "../ui/frame";

const HEIGHT = 96;

/** Shares differ by thousands: bars are as high as the logarithm of the count. */
const heightOf = (value: number, largest: number) =>
  value === 0 ? 0 : Math.max(2, (HEIGHT * Math.log1p(value)) / Math.log1p(largest));

export function Scores({ found }: { found: Finding | null }) {
  if (!found) return null;
  const { bounds_ppm, champion, challenger } = found.evidence.scores;
  const largest = Math.max(...champion, ...challenger, 1);
  return (
    <Panel title="Scores of both" aside="payments, on a logarithmic scale">
      <ul className="flex items-end gap-2" style={{ height: HEIGHT }}>
        {bounds_ppm.map((bound, at) => {
          const pair = { champion: champion[at] ?? 0, challenger: challenger[at] ?? 0 };
          return (
            <li key={bound} className="flex flex-1 items-end gap-px" title={toldOf(bound, pair)}>
              <span className="sr-only">{toldOf(bound, pair)}</span>
              <Bar height={heightOf(pair.champion, largest)} tone="soft" />
              <Bar height={heightOf(pair.challenger, largest)} tone="accent" />
            </li>
          );
        })}
      </ul>
      <ul aria-hidden className="mt-1 flex gap-2 border-t border-line pt-1 text-xs text-soft">
        {bounds_ppm.map((bound) => (
          <li key={bound} className="flex-1 text-center">
            &lt; {shareOf(bound)}
          </li>
        ))}
      </ul>
      <p className="mt-2 flex gap-4 text-xs text-soft">
        <Legend tone="soft">champion</Legend>
        <Legend tone="accent">challenger</Legend>
      </p>
    </Panel>
  );
}

const shareOf = (ppm: number) => figure(Math.min(ppm / 1_000_000, 1));

const toldOf = (bound: number, of: { champion: number; challenger: number }) =>
  `score below ${shareOf(bound)}: champion ${count(of.champion)}, challenger ${count(of.challenger)}`;

function Bar({ height, tone }: { height: number; tone: string }) {
  return (
    <span
      aria-hidden
      className="block flex-1 rounded-t-sm"
      style={{ height, background: `var(--${tone})` }}
    />
  );
}

function Legend({ tone, children }: { tone: string; children: string }) {
  return (
    <span className="inline-flex items-center gap-1">
      <span
        aria-hidden
        className="inline-block size-2 rounded-sm"
        style={{ background: `var(--${tone})` }}
      />
      {children}
    </span>
  );
}
