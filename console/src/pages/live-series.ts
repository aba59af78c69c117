/** The last five minutes of statistics, which outlive the page. */
import type uPlot from "uplot";
import type { Now } from "../api/types";

export const SPAN_S = 300;
const POINTS_MAX = SPAN_S + 20;
const GAP_MS = 10_000;

export type Point = Pick<Now, "at" | "rate" | "latency_ms" | "actions">;

export interface Kept {
  speed: uPlot.AlignedData;
  stopped: uPlot.AlignedData;
}

let points: Point[] = [];

/** Adds those of seconds that are not there, in whatever order they come. */
export function keep(...more: Point[]) {
  const known = new Set(points.map((one) => one.at));
  const fresh = more.filter((one) => !known.has(one.at));
  if (fresh.length === 0) return;
  points = [...points, ...fresh].sort((a, b) => a.at - b.at).slice(-POINTS_MAX);
}

/** Whether seconds before this one are not there: the page was just opened, or slept. */
export function isBehind(now: Point): boolean {
  const before = points.findLast((one) => one.at < now.at);
  return before === undefined || now.at - before.at > GAP_MS;
}

/** As charts take them. */
export function kept(): Kept {
  const at = points.map((one) => one.at / 1000);
  // Stacked: each on top of those before it.
  const decline = points.map(({ actions }) => actions.DECLINE ?? 0);
  const review = points.map(({ actions }, n) => (decline[n] ?? 0) + (actions.REVIEW ?? 0));
  const stepUp = points.map(({ actions }, n) => (review[n] ?? 0) + (actions.STEP_UP ?? 0));
  return {
    speed: [
      at,
      points.map((one) => one.rate),
      points.map((one) => one.latency_ms.p50),
      points.map((one) => one.latency_ms.p99),
    ],
    stopped: [at, stepUp, review, decline],
  };
}
