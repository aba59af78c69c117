/** Champion and challenger side by side, drift, moves; promotion with evidence. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, post } from "../api/client";
import type {
  Models as All,
  Compared,
  Finding,
  Move,
  Proposal,
  ProposalKind,
  Registered,
} from "../api/types";
import { counted, day, figure, percent, roundMoney, words } from "../format";
import { Agreement } from "../models/agreement";
import { Drift } from "../models/drift";
import { figureName, figuresOf, figureText, namesIn } from "../models/figures";
import { Scores } from "../models/scores";
import { client, useBase, useMay } from "../session";
import { toast, toastProblem } from "../toasts";
import { Button, Dialog, fieldStyle, Panel } from "../ui/frame";
import { Proposals } from "../ui/proposals";
import { Empty, Loaded, Skeleton } from "../ui/states";
import { Tag, When } from "../ui/words";

export default function Models() {
  const query = useQuery({
    queryKey: ["models"],
    queryFn: () => get<All>("/v1/models"),
    refetchInterval: 30_000,
  });
  return (
    <div className="mx-auto max-w-[1440px] p-4">
      <Loaded query={query} what="the models" skeleton={<Skeleton lines={14} />}>
        {(all) => <Shown all={all} />}
      </Loaded>
    </div>
  );
}

interface Wanted {
  kind: ProposalKind;
  model: string | null;
  title: string;
}

function Shown({ all }: { all: All }) {
  const mayPropose = useMay("analyst");
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const find = (name: string | null) => all.models.find((one) => one.name === name);
  const hasBefore = all.moves.filter((move) => move.state === "done").length > 1;
  return (
    <>
      <header className="mb-3 flex items-center gap-2">
        <h1 className="mr-auto text-lg font-semibold">Models</h1>
        {mayPropose && all.challenger && (
          <Button
            kind="main"
            onClick={() =>
              setWanted({
                kind: "promotion",
                model: all.challenger,
                title: `Promote ${all.challenger}`,
              })
            }
          >
            Promote the challenger…
          </Button>
        )}
        {mayPropose && hasBefore && (
          <Button onClick={() => setWanted({ kind: "roll_back", model: null, title: "Roll back" })}>
            Roll back…
          </Button>
        )}
      </header>
      <div className="grid grid-cols-[minmax(0,1fr)_400px] items-start gap-3">
        <div className="grid gap-3">
          <Sides
            champion={find(all.champion)}
            challenger={find(all.challenger)}
            found={all.comparison}
          />
          <Verdict found={all.comparison} />
          <Agreement found={all.comparison} />
          <Scores found={all.comparison} />
          <Drift now={all.drift_now} left={all.drift} />
        </div>
        <div className="grid gap-3">
          <Proposals kinds={["promotion", "roll_back", "challenger"]} />
          <Moves moves={all.moves} />
          <Registry all={all} mayPropose={mayPropose} want={setWanted} />
        </div>
      </div>
      {wanted && <Propose wanted={wanted} onClose={() => setWanted(null)} />}
    </>
  );
}

function Propose({ wanted, onClose }: { wanted: Wanted; onClose: () => void }) {
  const [why, setWhy] = useState("");
  const propose = useMutation({
    mutationFn: () => {
      const change = wanted.model === null ? {} : { model: wanted.model };
      return post<Proposal>("/v1/proposals", { kind: wanted.kind, change, why });
    },
    onSuccess: () => {
      toast("Proposed, with the evidence of now. A second person approves it.");
      onClose();
    },
    onError: (error) => toastProblem("Not proposed", error),
    onSettled: () => void client.invalidateQueries({ queryKey: ["proposals"] }),
  });
  return (
    <Dialog title={wanted.title} onClose={onClose} className="w-[480px]">
      <form
        className="grid gap-3 p-4"
        onSubmit={(event) => {
          event.preventDefault();
          propose.mutate();
        }}
      >
        <label className="grid gap-1">
          <span className="text-soft">Why</span>
          <textarea
            autoFocus
            required
            rows={3}
            maxLength={2000}
            value={why}
            onChange={(event) => setWhy(event.target.value)}
            className={`${fieldStyle} h-auto py-1`}
          />
        </label>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="main" type="submit" disabled={!why.trim() || propose.isPending}>
            Propose
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface SidesProps {
  champion: Registered | undefined;
  challenger: Registered | undefined;
  found: Finding | null;
}

function Sides({ champion, challenger, found }: SidesProps) {
  const base = useBase();
  const a = figuresOf(champion?.metrics);
  const b = figuresOf(challenger?.metrics);
  const names = namesIn([a, b]);
  if (!champion) {
    return (
      <Panel title="Champion and challenger">
        <Empty title="No model decides">
          Rules alone decide. Train one with <code>alcyon train</code>, then promote it.
        </Empty>
      </Panel>
    );
  }
  const evidence = found?.model === challenger?.name ? found?.evidence : undefined;
  return (
    <Panel
      title="Champion and challenger"
      aside={
        evidence &&
        `same ${counted(evidence.transactions, "payment")}, ${counted(evidence.frauds, "fraud")}, ${day(evidence.start)} to ${day(evidence.stop)}`
      }
      isBare
    >
      <table className="w-full table-fixed [&_td]:px-3 [&_td]:py-1.5 [&_td]:text-right [&_th]:px-3 [&_th]:py-1.5">
        <thead>
          <tr className="border-b border-line">
            <th className="w-80 text-xs text-soft">Figure</th>
            <th className="text-right!">
              <span className="block text-xs font-normal text-soft">champion</span> {champion.name}
            </th>
            {challenger && (
              <>
                <th className="text-right!">
                  <span className="block text-xs font-normal text-soft">challenger</span>{" "}
                  {challenger.name}
                </th>
                <th className="w-44 text-right! text-xs text-soft">difference</th>
              </>
            )}
          </tr>
        </thead>
        <tbody>
          {evidence && (
            <>
              <Row
                name="average precision"
                of={evidence.average_precision}
                write={figure}
                better="up"
              />
              <Row
                name="money lost a day"
                of={evidence.money_lost_minor_per_day}
                write={(value) => roundMoney(value, base)}
                better="down"
              />
              <Row name="declined" of={evidence.decline_rate} write={finePercent} />
              <Row name="in review" of={evidence.review_rate} write={finePercent} />
            </>
          )}
          {names.map((name) => {
            const [x, y] = [a[name], b[name]];
            const isBoth = typeof x === "number" && typeof y === "number";
            const write = (value: number | null | undefined) => figureText(name, value, base);
            return (
              <tr key={name}>
                <th scope="row" className="font-normal text-soft">
                  {figureName(name)}, at training
                </th>
                <td>{write(x)}</td>
                {challenger && (
                  <>
                    <td>{write(y)}</td>
                    <td className="text-soft">{isBoth ? withSign(y - x, write) : "–"}</td>
                  </>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
      {!challenger && (
        <p className="border-t border-line px-3 py-2 text-soft">
          No challenger scores beside it. Let one of the other models challenge it, or train one
          with <code>alcyon train</code>.
        </p>
      )}
    </Panel>
  );
}

const finePercent = (share: number) => `${(share * 100).toFixed(2)} %`;

function withSign(value: number, write: (value: number) => string): string {
  const isNone = write(Math.abs(value)) === write(0);
  return isNone ? write(0) : `${value < 0 ? "−" : "+"}${write(Math.abs(value))}`;
}

interface RowProps {
  name: string;
  of: Compared;
  write: (value: number) => string;
  better?: "up" | "down";
}

/** The difference counts where the interval of 95 in 100 draws leaves out 0. */
function Row({ name, of, write, better }: RowProps) {
  const { estimate: value, low, high } = of.difference;
  const isSure = low * high > 0;
  const isBetter = value > 0 === (better === "up");
  const isJudged = isSure && better !== undefined;
  const tone = !isJudged ? "text-soft" : isBetter ? "text-approve" : "text-decline";
  return (
    <tr className="border-b border-line">
      <th scope="row" className="font-medium">
        {name}
      </th>
      <td className="font-medium">{write(of.champion)}</td>
      <td className="font-medium">{write(of.challenger)}</td>
      <td>
        <span className={`font-medium ${tone}`}>
          {isJudged && <span aria-hidden>{isBetter ? "✓ " : "✕ "}</span>}
          {withSign(value, write)}
        </span>
        <span className="block text-xs text-soft">
          {withSign(low, write)} … {withSign(high, write)}
        </span>
      </td>
    </tr>
  );
}

function Verdict({ found }: { found: Finding | null }) {
  if (!found) return null;
  const { evidence, checks, promote, reasons } = found;
  return (
    <Panel title={`What the learner says of ${found.model}`} aside={<When at={found.at} />}>
      <p className={promote ? "text-approve" : "text-review"}>
        {promote ? "✓ Nothing speaks against promoting it." : "◐ Not to be promoted yet:"}
      </p>
      <ul className="mt-1 list-disc space-y-0.5 pl-5">
        {reasons.map((reason) => (
          <li key={reason.code}>{reason.text}</li>
        ))}
      </ul>
      <p className="mt-2 text-soft">
        Both act alike on {percent(evidence.agreement)} of the payments. Its file answers in{" "}
        {figure(checks.latency_us)} µs, and differs from the trained model by at most{" "}
        {checks.parity.toExponential(1)} in log-odds.
      </p>
    </Panel>
  );
}

function Moves({ moves }: { moves: Move[] }) {
  return (
    <Panel title="Who decided, and since when">
      {moves.length === 0 && <p className="text-soft">No model was ever promoted.</p>}
      <ol className="space-y-3 border-l border-line pl-4">
        {moves
          .toSorted((a, b) => b.at - a.at)
          .map((move) => (
            <li key={`${move.wanted.alias} ${move.number}`} className="relative">
              <span
                aria-hidden
                className={`absolute top-1.5 -left-[20.5px] size-2 rounded-full ${move.state === "failed" ? "bg-decline" : "bg-accent"}`}
              />
              <div className="flex items-baseline gap-2">
                <span>
                  {move.wanted.kind === "roll_back" ? "rolled back to " : ""}
                  <b className="font-medium">{move.wanted.model}</b>{" "}
                  <span className="text-soft">{move.wanted.alias}</span>
                  {move.state !== "done" && <Tag>{words(move.state)}</Tag>}
                </span>
                <When at={move.at} className="ml-auto text-xs text-soft" />
              </div>
              <p className="break-words text-xs text-soft">
                {move.wanted.by || "nobody named"}
                {move.wanted.why && `: ${move.wanted.why}`}
              </p>
            </li>
          ))}
      </ol>
    </Panel>
  );
}

interface RegistryProps {
  all: All;
  mayPropose: boolean;
  want: (wanted: Wanted) => void;
}

function Registry({ all, mayPropose, want }: RegistryProps) {
  const others = all.models.filter(
    (one) => one.name !== all.champion && one.name !== all.challenger,
  );
  if (others.length === 0) return null;
  return (
    <Panel title="Other models" isBare>
      <ul className="max-h-64 overflow-y-auto py-1">
        {others.map((one) => (
          <li key={one.name} className="flex items-center gap-2 px-3 py-1">
            <span className="truncate">{one.name}</span>
            <When at={one.registered_at} className="ml-auto text-xs text-soft" />
            {mayPropose && (
              <Button
                kind="quiet"
                onClick={() =>
                  want({
                    kind: "challenger",
                    model: one.name,
                    title: `Make ${one.name} the challenger`,
                  })
                }
              >
                Challenge
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
