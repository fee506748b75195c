"""
Distances of distributions against SciPy's: of the same bins exactly, and of the
values themselves as nearly as bins tell.
"""
import numpy

from harness import check, quote, skip, sql

try:
    from scipy.spatial import distance
    from scipy import stats
except ImportError:
    stats = None

ROWS = 20000


def cases():
    random = numpy.random.default_rng(7)
    normal = random.normal(size=ROWS)
    yield "a shift", normal, random.normal(0.3, 1, ROWS), 0.02
    yield "a spread", normal, random.normal(0, 1.7, ROWS), 0.05
    yield "long tails", random.lognormal(0, 1, ROWS), random.lognormal(0.2, 1.2, ROWS), 0.05
    yield "nothing", normal, random.normal(size=ROWS), 0.02
    yield "whole numbers", random.poisson(4, ROWS).astype(float), random.poisson(5, ROWS).astype(float), 0.02


def counts_of(values, edges):
    """What is in each bin, whose upper edge is in it, and the four that follow."""
    places = numpy.searchsorted(edges, values, side="left")
    counts = numpy.bincount(places, minlength=len(edges) + 1)
    sums = numpy.bincount(places, values, minlength=len(edges) + 1)
    return list(counts) + [0] * 4, list(sums) + [0.0] * 4


def array(values):
    return "{%s}" % ",".join(repr(float(v)) if isinstance(v, float) else str(int(v)) for v in values)


def check_drift():
    if stats is None:
        skip("drift", "there is no SciPy")
        return
    for name, reference, current, tolerance in cases():
        profile = sql("SELECT array_to_string(edges, ','), array_to_string(counts, ','), mean, deviation, minimum, maximum"
                      " FROM modelopt.profile(%s);" % quote("SELECT unnest(%s::float8[])" % quote(array(list(reference)))))[0]
        edges = numpy.array([float(e) for e in profile[0].split(",")])
        counts, sums = counts_of(reference, edges)
        check([int(c) for c in profile[1].split(",")] == counts, "%s: bins are numpy's" % name, profile[1])
        wanted = numpy.quantile(reference, numpy.arange(1, 10) / 10, method="inverted_cdf")
        check(set(edges) <= set(wanted), "%s: edges are numpy's quantiles" % name, edges)
        check(numpy.allclose([float(v) for v in profile[2:]],
                             [reference.mean(), reference.std(), reference.min(), reference.max()], rtol=1e-9, atol=1e-12),
              "%s: mean and deviation are numpy's" % name, profile)

        new_counts, new_sums = counts_of(current, edges)
        floor, js, wasserstein, ks = (float(v) for v in sql(
            "SELECT psi_noise_floor, js, wasserstein, ks FROM modelopt_private.drift_distances(%s, %s, %s, %s, %r, %r, 5);"
            % (quote(array(counts)), quote(array([float(s) for s in sums])), quote(array(new_counts)),
               quote(array([float(s) for s in new_sums])), float(reference.mean()), float(reference.std())))[0])
        bins = len(edges) + 1
        p, q = numpy.array(counts[:bins]), numpy.array(new_counts[:bins])
        check(numpy.isclose(js, distance.jensenshannon(p, q, base=2), rtol=1e-9, atol=1e-9),
              "%s: Jensen-Shannon distance is SciPy's" % name, js)
        check(numpy.isclose(floor, stats.chi2.ppf(1 - 0.01 / 5, bins - 1) * 2 / ROWS, rtol=1e-9),
              "%s: the floor is SciPy's quantile" % name, floor)
        exact = stats.wasserstein_distance(reference, current) / reference.std()
        check(abs(wasserstein - exact) <= tolerance * max(exact, 1),
              "%s: Wasserstein distance is that of the values" % name, "%r, %r" % (wasserstein, exact))
        exact = stats.ks_2samp(reference, current).statistic
        check(exact - 0.03 <= ks <= exact + 1e-12, "%s: Kolmogorov-Smirnov distance is that at the edges" % name,
              "%r, %r" % (ks, exact))


CHECKS = [("Drift: against SciPy", check_drift)]
