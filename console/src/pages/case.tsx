/** One case on a page of its own. */

import { byLoss, subjectOf } from "../alerts/queue";
import { useAlertsOf } from "../case/data";
import { CaseView } from "../case/view";
import { judge, undo } from "../judging";
import { useKeys } from "../keys";
import { go, to, usePlace } from "../router";
import { useMay } from "../session";
import { toast } from "../toasts";
import { Button } from "../ui/frame";
import { Empty } from "../ui/states";
import { Key } from "../ui/words";

export default function Case() {
  const { parts } = usePlace();
  const id = parts[1];
  if (id === undefined) return <Empty title="The address names no payment" />;
  return <OfPayment key={id} id={id} />;
}

function OfPayment({ id }: { id: string }) {
  const alerts = useAlertsOf(id, true);
  const mayJudge = useMay("analyst");
  const found = alerts.data ?? [];
  const back = () => (history.length > 1 ? history.back() : go("/alerts"));
  const say = (finding: "fraud" | "genuine") => {
    const subject = subjectOf(byLoss(found));
    if (subject && mayJudge) judge(subject, finding);
    else
      toast(
        mayJudge
          ? "This payment raised no alert: use the buttons."
          : "Judging needs the role analyst.",
        true,
      );
  };
  useKeys({
    escape: back,
    f: () => say("fraud"),
    g: () => say("genuine"),
    u: () => {
      if (undo() === null) toast("There is nothing left to undo.");
    },
  });
  return (
    <div className="mx-auto max-w-[1440px]">
      <div className="flex items-center gap-2 px-4 pt-3">
        <Button kind="quiet" onClick={back}>
          ← Back <Key>Esc</Key>
        </Button>
        <h1 className="text-soft">Case</h1>
      </div>
      <CaseView transactionId={id} alerts={found} onShow={(other) => go(to.decision(other))} />
    </div>
  );
}
