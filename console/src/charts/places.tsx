/** Where a card paid in 30 days, and how it came from one country to the next. */
import type { Line } from "../api/types";
import { count, countryName, duration } from "../format";
import { When } from "../ui/words";
import { monthOf, type Stay, staysOf, useWidth } from "./story";
import world from "./world.json";

const WIDTH_MAX = 360;
const DEGREES_MIN = 56;
const RADIUS_KM = 6371;
/** Stays that are drawn: a traveller's whole month would be a knot. */
const MOST = 12;

interface Point {
  x: number;
  y: number;
}

const middles = new Map(
  world.middles.split(" ").map((one): [string, Point] => {
    const [x = 0, north = 0] = one.slice(2).split(",").map(Number);
    return [one.slice(0, 2), { x, y: -north }];
  }),
);

interface Stop extends Stay {
  at: Point;
}

/** The newest stays up to that of the payment in question, which comes last. */
function stopsOf(lines: Line[], marked?: Line): Stop[] {
  const until = marked?.event_time ?? Number.POSITIVE_INFINITY;
  const stays = staysOf(monthOf(lines, marked).month.filter((line) => line.event_time <= until));
  return stays
    .flatMap((stay) => {
      const at = middles.get(stay.country);
      return at ? [{ ...stay, at }] : [];
    })
    .slice(-MOST);
}

/** Along the surface of the earth. */
function kilometres(a: Point, b: Point): number {
  const [la, lb, dx] = [a.y, b.y, b.x - a.x].map((degrees) => (degrees * Math.PI) / 180) as [
    number,
    number,
    number,
  ];
  const cosine = Math.sin(la) * Math.sin(lb) + Math.cos(la) * Math.cos(lb) * Math.cos(dx);
  return RADIUS_KM * Math.acos(Math.max(-1, Math.min(1, cosine)));
}

/** The part of the world that holds all of them, twice as wide as high. */
function viewOf(points: Point[]) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const width = Math.min(360, Math.max(DEGREES_MIN, 1.4 * (right - left), 2.8 * (bottom - top)));
  const within = (middle: number, half: number, low: number, high: number) =>
    Math.max(low + half, Math.min(high - half, middle));
  return {
    x: within((left + right) / 2, width / 2, -180, 180) - width / 2,
    y: within((top + bottom) / 2, width / 4, -90, 90) - width / 4,
    width,
  };
}

/** Nothing where it paid in one country only: then there is nothing to see. */
export function Places({ lines, marked }: { lines: Line[]; marked?: Line }) {
  const stops = stopsOf(lines, marked);
  const last = stops.at(-1);
  const before = stops.at(-2);
  if (!last || !before) return null;
  return <Drawn {...{ stops, last, before }} isNow={last.from === marked?.event_time} />;
}

interface DrawnProps {
  stops: Stop[];
  last: Stop;
  before: Stop;
  /** The newest move is the payment in question. */
  isNow: boolean;
}

function Drawn({ stops, last, before, isNow }: DrawnProps) {
  const [box, wide] = useWidth();
  const width = Math.min(WIDTH_MAX, wide);
  const view = viewOf(stops.map((stop) => stop.at));
  const scale = width / view.width;
  const place = ({ x, y }: Point) => ({ x: (x - view.x) * scale, y: (y - view.y) * scale });
  const places = new Map(stops.map((stop) => [stop.country, place(stop.at)]));
  const jump = `${countryName(before.country)} to ${countryName(last.country)}, about ${count(
    Math.round(kilometres(before.at, last.at) / 100) * 100,
  )} km, in ${duration(last.from - before.to)}`;
  return (
    <figure ref={box} className="min-w-0 @2xl:w-72 @2xl:shrink-0">
      <svg
        width={width}
        height={width / 2}
        role="img"
        aria-label={`Places: ${[...places.keys()].map(countryName).join(", ")}`}
        className="rounded-md border border-line bg-page"
      >
        <path
          d={world.land}
          transform={`scale(${scale}) translate(${-view.x} ${-view.y})`}
          fill="var(--raised)"
          stroke="var(--line)"
          vectorEffect="non-scaling-stroke"
        />
        {stops.slice(1).map((stop, n) => (
          <Jump
            key={stop.from}
            from={place((stops[n] ?? stop).at)}
            to={place(stop.at)}
            isLast={stop === last}
          />
        ))}
        {[...places].map(([country, { x, y }]) => {
          const isLast = country === last.country;
          const isAtEdge = x > width - 30;
          return (
            <g key={country}>
              <title>{countryName(country)}</title>
              <circle
                cx={x}
                cy={y}
                r={isLast ? 4.5 : 3}
                fill={isLast ? "var(--accent)" : "var(--soft)"}
                stroke="var(--surface)"
                strokeWidth={1.5}
              />
              <text
                x={x + (isAtEdge ? -7 : 7)}
                y={y + 4}
                textAnchor={isAtEdge ? "end" : "start"}
                className="fill-ink text-[11px]"
                stroke="var(--page)"
                strokeWidth={3}
                paintOrder="stroke"
              >
                {country}
              </text>
            </g>
          );
        })}
      </svg>
      <figcaption className="mt-1 text-xs text-soft">
        {isNow ? (
          `With this payment: ${jump}`
        ) : (
          <>
            The newest move: {jump}, <When at={last.from} />
          </>
        )}
      </figcaption>
    </figure>
  );
}

/** Bent, so that there and back are two lines. */
function Jump({ from, to, isLast }: { from: Point; to: Point; isLast: boolean }) {
  const middle = {
    x: (from.x + to.x) / 2 + (to.y - from.y) * 0.2,
    y: (from.y + to.y) / 2 - (to.x - from.x) * 0.2,
  };
  return (
    <path
      d={`M${from.x} ${from.y}Q${middle.x} ${middle.y} ${to.x} ${to.y}`}
      fill="none"
      stroke={isLast ? "var(--accent)" : "var(--soft)"}
      strokeWidth={isLast ? 2 : 1}
      strokeDasharray={isLast ? undefined : "2 3"}
    />
  );
}
