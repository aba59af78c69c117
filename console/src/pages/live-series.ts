/** The last five minutes of statistics, in bounded arrays that outlive the page. */
import type uPlot from "uplot";
import type { Now } from "../api/types";

export const SPAN_S = 300;
const POINTS_MAX = SPAN_S + 20;

export interface Kept {
  speed: uPlot.AlignedData;
  stopped: uPlot.AlignedData;
}

const at: number[] = [];
const rate: number[] = [];
const p50: (number | null)[] = [];
const p99: (number | null)[] = [];
const stepUp: number[] = [];
const review: number[] = [];
const decline: number[] = [];
const all: (number | null)[][] = [at, rate, p50, p99, stepUp, review, decline];

/** Adds it, if it is newer than what is there. */
export function keep(now: Now) {
  const seconds = now.at / 1000;
  if (seconds <= (at.at(-1) ?? 0)) return;
  const { STEP_UP = 0, REVIEW = 0, DECLINE = 0 } = now.actions;
  at.push(seconds);
  rate.push(now.rate);
  p50.push(now.latency_ms.p50);
  p99.push(now.latency_ms.p99);
  // Stacked: each on top of those before it.
  decline.push(DECLINE);
  review.push(DECLINE + REVIEW);
  stepUp.push(DECLINE + REVIEW + STEP_UP);
  if (at.length > POINTS_MAX) for (const one of all) one.shift();
}

/** A copy, for a chart that compares what it is given. */
export function kept(): Kept {
  return {
    speed: [at.slice(), rate.slice(), p50.slice(), p99.slice()],
    stopped: [at.slice(), stepUp.slice(), review.slice(), decline.slice()],
  };
}
