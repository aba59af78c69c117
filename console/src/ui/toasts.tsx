import { UNDO_MS, undo, useJudgements } from "../judging";
import { dismiss, useToasts } from "../toasts";
import { Button } from "./frame";
import { useSeconds } from "./now";
import { Key } from "./words";

/** What was just said and can be taken back, and what happened. */
export function Toasts() {
  const toasts = useToasts();
  const waiting = useJudgements().filter((one) => one.state === "waiting");
  return (
    <div
      aria-live="polite"
      className="pointer-events-none fixed right-4 bottom-4 z-20 flex flex-col items-end gap-2"
    >
      {toasts.map((one) => (
        <div
          key={one.id}
          className={`pointer-events-auto flex max-w-2xl items-center gap-3 rounded-lg border bg-surface py-1.5 pr-1.5 pl-3 shadow-lg ${one.isProblem ? "border-decline" : "border-line"}`}
        >
          <span className={one.isProblem ? "text-decline" : ""}>{one.text}</span>
          <Button
            kind="quiet"
            onClick={() => dismiss(one.id)}
            aria-label="Dismiss"
            className="ml-auto"
          >
            ✕
          </Button>
        </div>
      ))}
      {waiting.slice(-3).map((one, n, shown) => (
        <Waiting key={one.id} judgement={one} isNewest={n === shown.length - 1} />
      ))}
      {waiting.length > 3 && (
        <p className="text-center text-xs text-soft">and {waiting.length - 3} before these</p>
      )}
    </div>
  );
}

type One = ReturnType<typeof useJudgements>[number];

function Waiting({ judgement, isNewest }: { judgement: One; isNewest: boolean }) {
  const now = useSeconds();
  const left = Math.max(0, Math.min(UNDO_MS, judgement.until - now));
  const isFraud = judgement.finding === "fraud";
  return (
    <div className="pointer-events-auto flex items-center gap-3 rounded-lg border border-line bg-surface py-1.5 pr-1.5 pl-3 shadow-lg">
      <span className={`font-medium ${isFraud ? "text-decline" : "text-approve"}`}>
        <span aria-hidden>{isFraud ? "✕" : "✓"}</span> {isFraud ? "Fraud" : "Genuine"}
      </span>
      <span className="max-w-96 truncate">{judgement.subject.title}</span>
      <span aria-hidden className="w-8 text-right text-xs text-soft">
        {Math.ceil(left / 1000)} s
      </span>
      <Button kind="quiet" onClick={() => undo(judgement.id)}>
        Undo {isNewest && <Key>u</Key>}
      </Button>
    </div>
  );
}
