"""PromQL in the few shapes that the dashboards need.

All of them hold to what the dashboard's variables name, and all answer where nothing has happened:
a counter that did not move is 0, a share of nothing is 0. A gauge is NaN while its value is not
known (`alcyon.telemetry`), and a quantile of nothing is; both are left out, so that the panel says
so in its own words.
"""

from __future__ import annotations

_LITTLE = "1e-9"


def of(metric: str, where: str = "") -> str:
    """A metric of the processes chosen; where: further matchers."""
    chosen = 'job=~"$job", instance=~"$instance"'
    return f"{metric}{{{where}, {chosen}}}" if where else f"{metric}{{{chosen}}}"


def rate(metric: str, by: str = "", where: str = "") -> str:
    """A counter's rise per second, summed over processes; by: labels kept."""
    return f"{_by('sum', by)}(rate({of(metric, where)}[$__rate_interval]))"


def total(metric: str, by: str = "", where: str = "") -> str:
    """A counter's rise over the time shown."""
    return f"{_by('sum', by)}(increase({of(metric, where)}[$__range]))"


def share(part: str, whole: str) -> str:
    """0 … 1; part may have several series, whole has one."""
    return f"{part} / scalar(clamp_min({whole}, {_LITTLE}))"


def per_minute(metric: str, by: str = "", where: str = "") -> str:
    """As `rate`, of what comes seldom."""
    return f"60 * {rate(metric, by, where)}"


def quantile(q: float, histogram: str, by: str = "", where: str = "") -> str:
    """Of a histogram, over the interval drawn; nothing where nothing was observed."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, where)}) >= 0"


def within(histogram: str, bound: str) -> str:
    """Share of values up to a bucket's bound over the time shown; nothing where there were none."""
    inside = total(f"{histogram}_bucket", where=f'le="{bound}"')
    return f"{inside} / {total(f'{histogram}_count')} >= 0"


def mean(histogram: str) -> str:
    """Of a histogram; 0 where nothing was observed."""
    return share(rate(f"{histogram}_sum"), rate(f"{histogram}_count"))


def buckets(histogram: str) -> str:
    """A histogram's counts, for a heat map."""
    labelled = of(f"{histogram}_bucket")
    return f"sum by (le) (increase({labelled}[$__rate_interval]))"


def level(gauge: str, by: str = "", of_all: str = "max") -> str:
    """A gauge's largest value (of_all: or `min`, `sum`) among processes that know it."""
    return f"{_by(of_all, by)}({of(gauge)} >= 0)"


def excess(gauge: str, by: str = "") -> str:
    """The largest value of a gauge of what is beyond the usual: 0 where it is less than usual."""
    return f"{_by('max', by)}(clamp_min({of(gauge)} > -Inf, 0))"


def age(gauge: str) -> str:
    """Seconds since the moment that a gauge names in unix time."""
    return f"time() - max({of(gauge)} > 0)"


def or_zero(query: str, label: str = "") -> str:
    """0 where there is no series at all, as of a label that no value was met of yet; label: it is
    called `none` then."""
    zero = f'label_replace(vector(0), "{label}", "none", "", "")' if label else "vector(0)"
    return f"{query} or on() {zero}"


def largest(query: str, label: str) -> str:
    """The largest first; `none` at 0 where there is none."""
    return f"sort_desc({or_zero(query, label)})"


def _by(aggregation: str, labels: str) -> str:
    return f"{aggregation} by ({labels}) " if labels else aggregation
