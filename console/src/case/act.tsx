/** What to do: judge, note, escalate, block. */
import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { subjectOf } from "../alerts/queue";
import { post } from "../api/client";
import type { AlertLine, CaseShown, DecisionShown } from "../api/types";
import { counted, money, shortened } from "../format";
import { judge, judgementOf, type Subject, undo, useJudgements, type Verdict } from "../judging";
import { useKeys } from "../keys";
import { client, useMay, useSession } from "../session";
import { toast, toastProblem } from "../toasts";
import { Button, fieldStyle, Panel } from "../ui/frame";
import { Key, LabelBadge, When } from "../ui/words";
import { Block } from "./block";

interface ActProps {
  decision: DecisionShown;
  alerts: AlertLine[];
  file: CaseShown | undefined;
}

function subjectFor({ decision, alerts, file }: ActProps): Subject {
  const { line } = decision;
  const found = subjectOf(alerts);
  if (found) return { ...found, status: file?.case.status ?? found.status };
  return {
    caseId: null,
    transactionIds: [line.transaction_id],
    status: "open",
    title: `${money(line.amount_minor, line.currency)} at ${line.merchant_id ?? "an unknown merchant"}`,
  };
}

export function Act(props: ActProps) {
  const { decision, alerts, file } = props;
  const mayJudge = useMay("analyst");
  const { data: caller } = useSession();
  const judged = judgementOf(useJudgements(), decision.line.transaction_id);
  const subject = subjectFor(props);
  const owner = file?.case.claimed_by;
  const isOthers = owner !== null && owner !== undefined && owner !== caller?.name;
  const isClosed = subject.status === "closed";
  const isOpen = mayJudge && !isOthers && !isClosed && judged === undefined;
  const say = (finding: Verdict, only?: string) => {
    if (!isOpen) return;
    judge(only ? { ...subject, caseId: null, transactionIds: [only] } : subject, finding);
  };
  return (
    <Panel
      title="Judge"
      aside={alerts.length > 1 ? `all ${counted(alerts.length, "alert")} of the case` : undefined}
    >
      <div className="grid gap-2.5">
        {judged && (
          <p className="flex items-center gap-2">
            <LabelBadge isFraud={judged.finding === "fraud"} />
            {judged.state === "waiting" ? (
              <Button kind="quiet" onClick={() => undo(judged.id)}>
                Undo <Key>u</Key>
              </Button>
            ) : (
              <span className="text-soft">saved</span>
            )}
          </p>
        )}
        {isClosed && file && !judged && (
          <p>
            Closed as <b>{file.case.finding}</b>
            {file.case.resolution &&
              `, ${file.case.resolution === "cancel" ? "cancelled" : "released"}`}{" "}
            {file.case.closed_at !== null && (
              <When at={file.case.closed_at} className="text-soft" />
            )}
          </p>
        )}
        {isOthers && <p className="text-review">{owner} has claimed this case.</p>}
        {!mayJudge && <p className="text-soft">Judging needs the role analyst.</p>}
        <div className="grid grid-cols-2 gap-2">
          <Button
            kind="fraud"
            disabled={!isOpen}
            onClick={() => say("fraud")}
            className="h-9 justify-center"
          >
            Fraud <Key>f</Key>
          </Button>
          <Button
            kind="genuine"
            disabled={!isOpen}
            onClick={() => say("genuine")}
            className="h-9 justify-center"
          >
            Genuine <Key>g</Key>
          </Button>
        </div>
        {alerts.length > 1 && isOpen && (
          <p className="text-xs text-soft">
            Only {shortened(decision.line.transaction_id, 14)}:{" "}
            {(["fraud", "genuine"] as const).map((finding) => (
              <button
                key={finding}
                type="button"
                onClick={() => say(finding, decision.line.transaction_id)}
                className="mr-2 text-accent hover:underline"
              >
                {finding}
              </button>
            ))}
          </p>
        )}
        {subject.caseId !== null && !isClosed && (
          <Noting caseId={subject.caseId} owner={owner ?? null} isOff={!mayJudge} />
        )}
        <Block line={decision.line} isOff={!mayJudge} />
      </div>
    </Panel>
  );
}

interface NotingProps {
  caseId: string;
  owner: string | null;
  isOff: boolean;
}

function Noting({ caseId, owner, isOff }: NotingProps) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const path = `/v1/cases/${encodeURIComponent(caseId)}`;
  const { data: caller } = useSession();
  const isMine = owner !== null && owner === caller?.name;
  const renew = () => void client.invalidateQueries({ queryKey: ["case"] });
  const note = useMutation({
    mutationFn: async (isEscalated: boolean) => {
      const said = text.trim();
      await post(`${path}/notes`, { text: isEscalated ? `Escalated: ${said}` : said });
      // A lead can take it only when nobody else has it.
      if (isEscalated && isMine) await post(`${path}/release`);
    },
    onSuccess: (_, isEscalated) => {
      setText("");
      toast(isEscalated ? "Escalated: it waits for a lead." : "Noted.");
    },
    onError: (error) => toastProblem("The note was not saved", error),
    onSettled: renew,
  });
  const claim = useMutation({
    mutationFn: () => post(`${path}/${isMine ? "release" : "claim"}`),
    onError: (error) => toastProblem("The claim did not change", error),
    onSettled: renew,
  });
  useKeys({ n: () => field.current?.focus() });
  const isEmpty = text.trim() === "" || note.isPending || isOff;
  return (
    <>
      <textarea
        ref={field}
        aria-label="Note"
        placeholder="Note (n)"
        rows={2}
        maxLength={2000}
        disabled={isOff}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        className={`${fieldStyle} h-auto resize-y py-1`}
      />
      <div className="flex gap-2">
        <Button disabled={isEmpty} onClick={() => note.mutate(false)}>
          Note
        </Button>
        <Button
          disabled={isEmpty}
          onClick={() => note.mutate(true)}
          title="Note why, and leave it to a lead"
        >
          Escalate
        </Button>
        <Button
          kind="quiet"
          className="ml-auto"
          disabled={isOff || claim.isPending || (owner !== null && !isMine)}
          onClick={() => claim.mutate()}
        >
          {isMine ? "Release" : "Claim"}
        </Button>
      </div>
    </>
  );
}
