/** What waits for a second person. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { get, post } from "../api/client";
import type { Judged, Evidence as Known, Proposal, ProposalKind } from "../api/types";
import { shortened, words } from "../format";
import { type Figures, figureName, figuresOf, figureText, namesIn } from "../models/figures";
import { Diff } from "../rules/diff";
import { changesIn } from "../rules/text";
import { client, useBase, useMay, useSession } from "../session";
import { toast, toastProblem } from "../toasts";
import { Button, Panel } from "./frame";
import { Loaded, Skeleton } from "./states";
import { When } from "./words";

export function Proposals({ kinds }: { kinds: ProposalKind[] }) {
  const query = useQuery({
    queryKey: ["proposals"],
    queryFn: () => get<Proposal[]>("/v1/proposals", { status: "open" }),
    refetchInterval: 15_000,
  });
  return (
    <Panel title="Waiting for a second person" isBare>
      <Loaded query={query} what="the proposals" skeleton={<Skeleton lines={2} />}>
        {(all) => {
          const shown = all.filter((one) => kinds.includes(one.kind));
          if (shown.length === 0) return <p className="px-3 py-2.5 text-soft">Nothing waits.</p>;
          return (
            <ul className="divide-y divide-line">
              {shown.map((one) => (
                <One key={one.proposal_id} proposal={one} />
              ))}
            </ul>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function wording({ kind, change }: Proposal): string {
  const text = (name: string) => String(change[name] ?? "");
  if (kind === "list") {
    const what = `${text("column").replace("_id", "")} ${shortened(text("value"), 24)}`;
    const verb = change.is_removal ? "Take off" : "Put on";
    return `${verb} the ${text("name")} list: ${what}`;
  }
  if (kind === "promotion") return `Promote ${text("model")} to champion`;
  if (kind === "challenger") return `Make ${text("model")} the challenger`;
  if (kind === "roll_back") return "Roll back to the champion before";
  return "Change the rules";
}

const OUTCOMES: Record<string, string> = {
  approved: "Approved: it takes effect now.",
  rejected: "Rejected.",
  withdrawn: "Withdrawn.",
};

function One({ proposal }: { proposal: Proposal }) {
  const { data: caller } = useSession();
  const mayDecide = useMay("lead");
  const isOwn = proposal.by === caller?.person;
  const decide = useMutation({
    mutationFn: (is_approved: boolean) =>
      post<Judged>(`/v1/proposals/${encodeURIComponent(proposal.proposal_id)}/decide`, {
        is_approved,
      }),
    onSuccess: ({ proposal: { status } }) => toast(OUTCOMES[status] ?? words(status)),
    onError: (error) => toastProblem("Not decided", error),
    onSettled: () => {
      for (const key of ["proposals", "rules", "models"]) {
        void client.invalidateQueries({ queryKey: [key] });
      }
    },
  });
  return (
    <li className="grid gap-2 p-3">
      <div className="flex items-baseline gap-2">
        <span className="font-medium">{wording(proposal)}</span>
        <span className="ml-auto text-xs text-soft">
          {proposal.by} · <When at={proposal.at} />
        </span>
      </div>
      <p className="break-words text-soft">{proposal.why}</p>
      {proposal.diff && <Diff changes={changesIn(proposal.diff)} />}
      {proposal.evidence && <Evidence evidence={proposal.evidence as unknown as Known} />}
      {mayDecide && !isOwn && (
        <div className="flex gap-2">
          <Button kind="main" disabled={decide.isPending} onClick={() => decide.mutate(true)}>
            Approve
          </Button>
          <Button disabled={decide.isPending} onClick={() => decide.mutate(false)}>
            Reject
          </Button>
        </div>
      )}
      {isOwn && (
        <div className="flex items-center gap-2 text-xs text-soft">
          Yours: somebody else approves it.
          <Button kind="quiet" disabled={decide.isPending} onClick={() => decide.mutate(false)}>
            Withdraw
          </Button>
        </div>
      )}
      {!isOwn && !mayDecide && <p className="text-xs text-soft">A lead approves it.</p>}
    </li>
  );
}

/** Figures by model, side by side, and what the learner found. */
function Evidence({ evidence }: { evidence: Known }) {
  const models = Object.entries(evidence.models ?? {}).map(
    ([model, { metrics }]) => [model, figuresOf(metrics)] as const,
  );
  const names = namesIn(models.map(([, figures]) => figures));
  const found = evidence.finding;
  return (
    <>
      {found && (
        <p className="text-xs">
          {found.promote
            ? "The learner finds nothing against it."
            : `The learner would not: ${found.reasons.map((reason) => reason.text).join("; ")}`}
        </p>
      )}
      {names.length > 0 && <Table models={models} names={names} />}
    </>
  );
}

interface TableProps {
  models: (readonly [string, Figures])[];
  names: string[];
}

function Table({ models, names }: TableProps) {
  const base = useBase();
  return (
    <table className="w-full text-xs">
      <thead className="text-soft">
        <tr>
          <th>Evidence</th>
          {models.map(([model]) => (
            <th key={model} className="text-right!">
              {model}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {names.map((name) => (
          <tr key={name}>
            <th scope="row" className="font-normal">
              {figureName(name)}
            </th>
            {models.map(([model, figures]) => (
              <td key={model} className="text-right">
                {figureText(name, figures[name], base)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
