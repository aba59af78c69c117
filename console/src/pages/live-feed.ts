/** The newest decisions: few are shown, few wait, and whoever reads them is not disturbed. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Line } from "../api/types";
import { useFeed } from "../feed";

const SHOWN_MAX = 40;
const EVERY_MS = 500;
const PER_STEP = 3;

export interface Reading {
  lines: Line[];
  /** Came while the feed was paused. */
  waiting: number;
}

export function useReading(isPaused: boolean) {
  const [reading, setReading] = useState<Reading>({ lines: [], waiting: 0 });
  const incoming = useRef<Line[]>([]);
  const missed = useRef(0);
  const take = useCallback((message: Line | Line[]) => {
    const lines = Array.isArray(message) ? message : [message];
    incoming.current.push(...lines);
    missed.current += lines.length;
    if (incoming.current.length > SHOWN_MAX) incoming.current = incoming.current.slice(-SHOWN_MAX);
  }, []);
  const state = useFeed<Line | Line[]>("decisions", take);
  useEffect(() => {
    const timer = setInterval(() => {
      if (missed.current === 0) return;
      if (isPaused) {
        setReading((before) => ({ ...before, waiting: missed.current }));
        return;
      }
      // A few at a time, so that the eye can follow; what was not approved goes first.
      const pool = incoming.current.splice(0);
      const rare = pool.filter((line) => line.action !== "APPROVE");
      const usual = pool.filter((line) => line.action === "APPROVE");
      const chosen = [...rare, ...usual].slice(0, PER_STEP);
      missed.current = 0;
      setReading(({ lines }) => {
        const known = new Set(lines.map((line) => line.transaction_id));
        const fresh = chosen.filter((line) => !known.has(line.transaction_id));
        return { lines: [...fresh, ...lines].slice(0, SHOWN_MAX), waiting: 0 };
      });
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [isPaused]);
  return { ...reading, state };
}
