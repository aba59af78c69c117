/** A model's figures as training has measured them: which, what they are called, how they read. */
import { percent, roundMoney, words } from "../format";

export type Figures = Record<string, number | null>;

const NAMES: Record<string, string> = {
  roc_auc: "ROC AUC",
  brier: "Brier score",
  expected_calibration_error: "calibration error",
  card_precision_at_100: "precision of the first 100 cards a day",
};

/** The model's own, not those of its members. */
export function figuresOf(metrics: Record<string, Figures> | undefined): Figures {
  return metrics?.blend ?? Object.values(metrics ?? {})[0] ?? {};
}

/** Those that at least one of them has. */
export function namesIn(all: Figures[]): string[] {
  const known = all.flatMap((one) => Object.keys(one).filter((name) => one[name] !== null));
  return [...new Set(known)];
}

/** `recall_at_fpr_0.001` as `recall at 0.1 % false positives`. */
export function figureName(name: string): string {
  const rate = /^recall_at_fpr_([\d.e-]+)$/.exec(name)?.[1];
  if (rate !== undefined) return `recall at ${percent(Number(rate))} false positives`;
  return NAMES[name] ?? words(name.replace(/_minor$/, ""));
}

export function figureText(
  name: string,
  value: number | null | undefined,
  currency: string,
): string {
  if (typeof value !== "number") return "–";
  if (name.endsWith("_minor")) return roundMoney(value, currency);
  return name.endsWith("_per_day") ? value.toFixed(1) : value.toFixed(4);
}
