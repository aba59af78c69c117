/**
 * Words of the API. Those of routes that answer plain objects are written here by hand, after the
 * docstrings of `api/desk.py`; all others are generated.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Line = Schemas["Line"];
export type Page = Schemas["Page"];
export type AlertLine = Schemas["AlertLine"];
export type AlertPage = Schemas["AlertPage"];
export type CaseShown = Schemas["CaseShown"];
export type CaseLine = Schemas["CaseLine"];
export type DecisionShown = Schemas["DecisionShown"];
export type Explanation = Schemas["Explanation"];
export type ReasonShown = Schemas["ReasonShown"];
export type EntityShown = Schemas["EntityShown"];
export type EntityKind = EntityShown["kind"];
export type Linked = Schemas["Linked"];
export type Habit = Schemas["Habit"];
export type Share = Schemas["Share"];
export type TopEntity = Schemas["TopEntity"];
export type Proposal = Schemas["Proposal"];
export type ProposalKind = Proposal["kind"];
export type Judged = Schemas["Judged"];
export type Caller = Schemas["Caller"];
export type DeadLetters = Schemas["DeadLetters"];
export type DeadLetterShown = Schemas["DeadLetterShown"];
export type Action = "APPROVE" | "STEP_UP" | "REVIEW" | "DECLINE";

export interface Now {
  /** Decisions per second. */
  rate: number;
  latency_ms: { p50: number | null; p95: number | null; p99: number | null };
  /** Of the last minute. */
  actions: Partial<Record<Action, number>>;
  today: { decisions: number; not_approved: number; stopped_base_minor: number };
  top_rules: { rule_id: string; hits: number }[];
  top_merchants: TopEntity[];
  countries: Share[];
  at: number;
  base_currency?: string;
}

export type RuleStatus = "draft" | "shadow" | "live" | "off";

export interface Rule {
  id: string;
  name: string;
  when: string;
  action: Action;
  reason_code: string;
  priority: number;
  status: RuleStatus;
}

export interface RuleCounts {
  hits: number;
  shadow_hits: number;
  labelled: number;
  frauds: number;
  stopped_base_minor: number;
}

export interface ListEntry {
  name: string;
  column: string;
  value: string;
  expires_at: number | null;
}

export interface InForce {
  rules: { version: string; rules: Rule[] };
  rules_text: string;
  lists: { version: string; entries: ListEntry[] };
  policy: Record<string, unknown>;
  versions: Record<string, string>;
  /** What a condition may name, by kind. */
  names: Record<string, string[]>;
  counts: Record<string, RuleCounts>;
}

export interface Wrong {
  rule: string | null;
  line: number | null;
  column: number | null;
  problem: string;
}

export interface Backtested {
  hits: number;
  labelled: number;
  frauds: number;
  amount_base_minor: number;
  /** Hits that were not approved then. */
  stopped_already: number;
  sample: string[];
  scanned: number;
  /** Whether all of the time asked for was looked at, or only the newest part of it. */
  is_whole: boolean;
}

export interface Registered {
  name: string;
  catalog_hash: string;
  registered_at: number;
  metrics: Record<string, Record<string, number | null>>;
  parameters: Record<string, string>;
}

export interface Move {
  number: number;
  at: number;
  state: "under_way" | "done" | "failed";
  wanted: {
    alias: string;
    model: string;
    kind: "promote" | "roll_back";
    by: string;
    why: string;
  };
}

export interface Interval {
  estimate: number;
  low: number;
  high: number;
}

/** A figure of both, and the challenger's less the champion's. */
export interface Compared {
  champion: number;
  challenger: number;
  difference: Interval;
}

/** What the learner found of a challenger, on payments that both scored. */
export interface Finding {
  model: string;
  at: number;
  promote: boolean;
  /** What speaks against it. */
  reasons: { code: string; text: string }[];
  evidence: {
    champion: string;
    challenger: string;
    start: number;
    stop: number;
    transactions: number;
    frauds: number;
    /** Share of payments on which both would act alike. */
    agreement: number;
    /** Payments by the champion's action, then the challenger's. */
    actions: Record<string, Record<string, number>>;
    /** Payments with a score below each bound, and not below the one before. */
    scores: { bounds_ppm: number[]; champion: number[]; challenger: number[] };
    average_precision: Compared;
    money_lost_minor_per_day: Compared;
    decline_rate: Compared;
    review_rate: Compared;
  };
  checks: { parity: number; latency_us: number };
}

/** A champion that left the band its evaluation predicted. */
export interface LeftBand {
  at: number;
  departure: {
    kind: string;
    at: number;
    share: number;
    /** The highest share that was within the band, at that hour. */
    predicted: number;
  };
  band: { champion: string; replaced: string };
}

/** One signal of the last day beside the champion's reference. */
export interface SignalDrift {
  signal: string;
  severity: "minor" | "moderate" | "major";
  psi: number;
  psi_usual: number;
  ks: number;
  ks_usual: number;
}

export interface DriftNow {
  champion: string;
  reference_start: number;
  reference_stop: number;
  reference_rows: number;
  window: {
    start: number;
    stop: number;
    rows: number;
    comparisons: SignalDrift[];
    findings: SignalDrift[];
  };
}

export interface Evidence {
  models: Record<string, Pick<Registered, "registered_at" | "metrics">>;
  finding: Finding | null;
}

export interface Models {
  champion: string | null;
  challenger: string | null;
  models: Registered[];
  moves: Move[];
  comparison: Finding | null;
  drift: LeftBand[];
  /** null: too young to be told. */
  drift_now: DriftNow | null;
}

export type Told = string | number | boolean | null | Told[] | { [name: string]: Told };

export interface SystemState {
  /** null: the worker does not answer. */
  phase: string | null;
  ready: boolean;
  reasons: string[];
  [part: string]: Told;
}
