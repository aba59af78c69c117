/** Put what took part on the block list: a proposal, which a second person approves. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { post } from "../api/client";
import type { Line, Proposal } from "../api/types";
import { DAY, shortened } from "../format";
import { client } from "../session";
import { toast, toastProblem } from "../toasts";
import { Button, fieldStyle } from "../ui/frame";

const EXPIRIES: [string, number | null][] = [
  ["for a day", 1],
  ["for 7 days", 7],
  ["for 30 days", 30],
  ["for good", null],
];

export function Block({ line, isOff }: { line: Line; isOff: boolean }) {
  const choices = (["card_id", "device_id", "merchant_id"] as const).flatMap((column) => {
    const value = line[column];
    return value === null ? [] : [{ column, value }];
  });
  const [at, setAt] = useState(0);
  const [days, setDays] = useState("7");
  const chosen = choices[at];
  const propose = useMutation({
    mutationFn: () => {
      const expires_at = days === "" ? null : Date.now() + Number(days) * DAY;
      const change = { name: "block", ...chosen, expires_at, is_removal: false };
      const why = `From payment ${line.transaction_id}`;
      return post<Proposal>("/v1/proposals", { kind: "list", change, why });
    },
    onSuccess: () => toast("Proposed. It is blocked once a second person approves it, in Rules."),
    onError: (error) => toastProblem("Not proposed", error),
    onSettled: () => void client.invalidateQueries({ queryKey: ["proposals"] }),
  });
  if (!chosen) return null;
  return (
    <details className="border-t border-line pt-2">
      <summary className="cursor-pointer text-soft hover:text-ink">Block list…</summary>
      <div className="mt-2 grid gap-2">
        <select
          aria-label="What to block"
          value={at}
          onChange={(event) => setAt(Number(event.target.value))}
          className={fieldStyle}
        >
          {choices.map(({ column, value }, n) => (
            <option key={column} value={n}>
              {column.replace("_id", "")} {shortened(value, 22)}
            </option>
          ))}
        </select>
        <div className="flex gap-2">
          <select
            aria-label="How long"
            value={days}
            onChange={(event) => setDays(event.target.value)}
            className={`${fieldStyle} grow`}
          >
            {EXPIRIES.map(([name, length]) => (
              <option key={name} value={length ?? ""}>
                {name}
              </option>
            ))}
          </select>
          <Button disabled={isOff || propose.isPending} onClick={() => propose.mutate()}>
            Propose
          </Button>
        </div>
      </div>
    </details>
  );
}
