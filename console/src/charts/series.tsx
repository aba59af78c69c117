/** Lines over time that move: uPlot, which draws 5 minutes at a time in under a millisecond. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { colour, useTheme } from "../theme";

export interface Curve {
  name: string;
  /** Of the theme. */
  colour: string;
  scale: "left" | "right";
  dash?: number[];
  /** Filled down to the curve after it. */
  isFilled?: boolean;
}

interface SeriesProps {
  curves: Curve[];
  /** Seconds; then one row per curve. */
  data: uPlot.AlignedData;
  spanS: number;
  left: (value: number) => string;
  right?: (value: number) => string;
  label: string;
  height: number;
}

const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const hourAndMinute = (seconds: number) => time.format(seconds * 1000);

// At least this much, so that a quiet line is no mountain range.
const top: uPlot.Range.Function = (_, __, max) => [0, Math.max(10, (max ?? 0) * 1.15)];

function options(props: SeriesProps, width: number): uPlot.Options {
  const { curves, spanS, left, right, height } = props;
  const soft = colour("soft");
  const axis: uPlot.Axis = {
    stroke: soft,
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
  };
  const values = (write: (value: number) => string) => (_: uPlot, splits: number[]) =>
    splits.map(write);
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    padding: [8, right ? 0 : 12, 0, 0],
    scales: {
      x: {
        time: true,
        range: (_, __, max) => {
          const end = max || Date.now() / 1000;
          return [end - spanS, end];
        },
      },
      left: { range: top },
      right: { range: top },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 90, size: 28, values: values(hourAndMinute) },
      { ...axis, scale: "left", size: 52, values: values(left) },
      ...(right
        ? [
            {
              ...axis,
              scale: "right",
              side: 1 as const,
              size: 56,
              grid: { show: false },
              values: values(right),
            },
          ]
        : []),
    ],
    series: [
      {},
      ...curves.map((curve) => ({
        label: curve.name,
        scale: curve.scale,
        stroke: colour(curve.colour),
        width: 1.5,
        points: { show: false },
        ...(curve.dash ? { dash: curve.dash } : {}),
        ...(curve.isFilled ? { fill: colour(`${curve.colour}-soft`) } : {}),
      })),
    ],
  };
}

export function Series(props: SeriesProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const latest = useRef(props);
  latest.current = props;
  const theme = useTheme();
  useEffect(() => {
    const box = place.current;
    if (!box) return;
    const { data, height } = latest.current;
    const made = new uPlot(options(latest.current, box.clientWidth), data, box);
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height }));
    sizes.observe(box);
    return () => {
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme]);
  useEffect(() => plot.current?.setData(props.data), [props.data]);
  return (
    <figure aria-label={props.label}>
      <div ref={place} className="overflow-hidden" style={{ height: props.height }} />
    </figure>
  );
}

export function Legend({ curves, now }: { curves: Curve[]; now: string[] }) {
  return (
    <span className="flex gap-3">
      {curves.map((curve, n) => (
        <span key={curve.name} className="flex items-center gap-1">
          <svg aria-hidden="true" width="14" height="8">
            <line
              x1="0"
              x2="14"
              y1="4"
              y2="4"
              stroke={`var(--${curve.colour})`}
              strokeWidth="2"
              strokeDasharray={curve.dash?.join(" ")}
            />
          </svg>
          {curve.name} <span className="text-ink">{now[n]}</span>
        </span>
      ))}
    </span>
  );
}
