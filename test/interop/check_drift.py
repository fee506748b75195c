"""
Distances of distributions against SciPy's and Evidently's: of the same bins
exactly, and of the values themselves as nearly as bins tell.
"""
import importlib
import importlib.util
import os
import sys
import types

import numpy

from harness import check, quote, skip, sql

try:
    from scipy.spatial import distance
    from scipy import stats
except ImportError:
    stats = None

try:
    import pandas
except ImportError:
    pandas = None

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


def distances(counts, sums, new_counts, new_sums, mean, deviation):
    names = ("psi", "psi_noise_floor", "js", "wasserstein", "ks")
    row = sql("SELECT %s FROM modelopt_private.drift_distances(%s, %s, %s, %s, %s, %s, 5);"
              % (", ".join(names), quote(array(counts)), quote(array(sums)), quote(array(new_counts)),
                 quote(array(new_sums)), mean, deviation))[0]
    return dict(zip(names, map(float, row)))


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
        _, floor, js, wasserstein, ks = distances(counts, sums, new_counts, new_sums,
                                                  float(reference.mean()), float(reference.std())).values()
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


def load_evidently():
    """Evidently's distances by name, without the rest of it, which draws and serves
    and wants many packages for that; None when they cannot be had."""
    spec = importlib.util.find_spec("evidently")
    if spec is None or pandas is None:
        return None
    root = os.path.dirname(spec.origin)
    names = ("evidently", "evidently.legacy", "evidently.legacy.calculations",
             "evidently.legacy.calculations.stattests")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [os.path.join(root, *name.split(".")[1:])]
    try:
        kinds = importlib.import_module("evidently.legacy.core").ColumnType
        tests = [getattr(importlib.import_module(names[-1] + "." + module), test) for module, test in (
            ("psi", "psi_stat_test"), ("jensenshannon", "jensenshannon_stat_test"),
            ("wasserstein_distance_norm", "wasserstein_stat_test"))]
    except ImportError as e:
        print("# Evidently: %s" % e)
        return None
    return {test.name: lambda p, q, kind, test=test: float(test.func(p, q, getattr(kinds, kind), 0.1)[0]) for test in tests}


def binned(counts):
    """A column of which each value is its bin."""
    return pandas.Series(numpy.repeat(["bin %d" % i for i in range(len(counts))], counts))


def check_evidently():
    evidently = load_evidently()
    if evidently is None:
        skip("drift", "there is no Evidently")
        return
    for name, reference, current, tolerance in cases():
        edges = numpy.unique(numpy.quantile(reference, numpy.arange(1, 10) / 10, method="inverted_cdf"))
        counts, sums = counts_of(reference, edges)
        new_counts, new_sums = counts_of(current, edges)
        ours = distances(counts, sums, new_counts, new_sums, float(reference.mean()), float(reference.std()))
        p, q = binned(counts[:-4]), binned(new_counts[:-4])
        # Ours has half a row more in each bin, which of 20000 rows is little.
        theirs = evidently["psi"](p, q, "Categorical")
        check(numpy.isclose(ours["psi"], theirs, rtol=0.01, atol=1e-4), "%s: PSI is Evidently's" % name, (ours["psi"], theirs))
        # Theirs is of the natural logarithm.
        theirs = evidently["jensenshannon"](p, q, "Categorical") / numpy.sqrt(numpy.log(2))
        check(numpy.isclose(ours["js"], theirs, rtol=1e-9, atol=1e-9), "%s: Jensen-Shannon distance is Evidently's" % name,
              (ours["js"], theirs))
        theirs = evidently["wasserstein"](pandas.Series(reference), pandas.Series(current), "Numerical")
        check(abs(ours["wasserstein"] - theirs) <= tolerance * max(theirs, 1), "%s: Wasserstein distance is Evidently's" % name,
              (ours["wasserstein"], theirs))


CHECKS = [("Drift: against SciPy", check_drift), ("Drift: against Evidently", check_evidently)]
