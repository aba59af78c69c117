/** Small things that are shown everywhere: money, times, ids, actions, labels. */
import { useState } from "react";
import type { Action } from "../api/types";
import { exact, money, relative, shortened } from "../format";
import { toast } from "../toasts";
import { useNow } from "./now";

export function Money({ minor, currency }: { minor: number; currency: string }) {
  return <span className="whitespace-nowrap">{money(minor, currency)}</span>;
}

export function When({ at, className = "" }: { at: number; className?: string }) {
  const now = useNow();
  return (
    <time
      dateTime={new Date(at).toISOString()}
      title={exact(at)}
      className={`whitespace-nowrap ${className}`}
    >
      {relative(at, Math.max(now, Math.min(at, Date.now())))}
    </time>
  );
}

/** Shortened in the middle; a click copies all of it. */
export function Id({
  id,
  most = 16,
  className = "",
}: {
  id: string;
  most?: number;
  className?: string;
}) {
  const [isCopied, setCopied] = useState(false);
  const copy = async (event: React.MouseEvent) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(id);
      setCopied(true);
      setTimeout(() => setCopied(false), 1_200);
    } catch {
      toast(`This browser does not let us copy: ${id}`, true);
    }
  };
  return (
    <button
      type="button"
      onClick={copy}
      title={`${id} – click to copy`}
      className={`max-w-full truncate rounded font-mono text-xs hover:bg-raised ${className}`}
    >
      {isCopied ? "copied ✓" : shortened(id, most)}
    </button>
  );
}

const ACTIONS: Record<Action, { word: string; past: string; sign: string; style: string }> = {
  APPROVE: {
    word: "Approve",
    past: "Approved",
    sign: "✓",
    style: "bg-approve-soft text-approve",
  },
  STEP_UP: {
    word: "Step up",
    past: "Stepped up",
    sign: "▲",
    style: "bg-review-soft text-review",
  },
  REVIEW: { word: "Review", past: "In review", sign: "◐", style: "bg-review-soft text-review" },
  DECLINE: { word: "Decline", past: "Declined", sign: "✕", style: "bg-decline-soft text-decline" },
};

export function actionOf(action: string) {
  return (
    ACTIONS[action as Action] ?? {
      word: action,
      past: action,
      sign: "?",
      style: "bg-raised text-ink",
    }
  );
}

export function ActionBadge({ action, isPast = false }: { action: string; isPast?: boolean }) {
  const { word, past, sign, style } = actionOf(action);
  return (
    <span
      className={`inline-flex items-center gap-1 rounded px-1.5 text-xs font-medium whitespace-nowrap ${style}`}
    >
      <span aria-hidden>{sign}</span>
      {isPast ? past : word}
    </span>
  );
}

export function LabelBadge({ isFraud }: { isFraud: boolean }) {
  const style = isFraud ? "text-decline" : "text-approve";
  return (
    <span
      className={`inline-flex items-center gap-1 rounded border border-current px-1.5 text-xs font-medium whitespace-nowrap ${style}`}
    >
      <span aria-hidden>{isFraud ? "✕" : "✓"}</span>
      {isFraud ? "Fraud" : "Genuine"}
    </span>
  );
}

export function Tag({ children, tone = "" }: { children: React.ReactNode; tone?: string }) {
  return (
    <span className={`inline-flex rounded bg-raised px-1.5 text-xs whitespace-nowrap ${tone}`}>
      {children}
    </span>
  );
}

export function Key({ children }: { children: string }) {
  return (
    <kbd className="rounded border border-line bg-raised px-1 font-sans text-[11px] leading-4 text-soft">
      {children}
    </kbd>
  );
}
