"""
stats, sparsity and the rates against torch, numpy and arithmetic.
"""
import math

import numpy

from harness import back, check, data_load, quote, sql

COLUMNS = ("min", "max", "mean", "stddev", "l1", "l2")
COUNTS = ("zeros", "nan", "inf")


def expected_stats(t):
    """What numpy says of a tensor's numbers; None where there are none."""
    a = t.detach().double().numpy().reshape(-1)
    counts = (int((a == 0).sum()), int(numpy.isnan(a).sum()),
              int(numpy.isinf(a).sum()))
    a = a[numpy.isfinite(a)]
    if a.size == 0:
        return (None,) * 6, counts
    with numpy.errstate(over="ignore"):     # the largest double, squared
        return (a.min(), a.max(), a.mean(),
                a.std(ddof=1) if a.size > 1 else None, numpy.abs(a).sum(),
                math.sqrt((a * a).sum())), counts


def close(got, wanted, exact):
    if wanted is None or got == "NULL":
        return wanted is None and got == "NULL"
    got = float(got)
    return got == wanted or not exact and math.isclose(
        got, wanted, rel_tol=1e-9, abs_tol=1e-12)


def check_stats():
    for name in ("digits_mlp.pth", "digits_cnn.pth", "tied_transformer.pth",
                 "dtypes.pth", "views.pth", "shapes.pth"):
        tensors = back(name)
        rows = sql("SELECT s.name, %s, %s, s.sparsity FROM interop.models, "
                   "stats(m) s WHERE models.name = %s;"
                   % (", ".join("s." + c for c in COLUMNS),
                      ", ".join("s." + c for c in COUNTS), quote(name)))
        wrong = []
        for (tensor, t), row in zip(tensors.items(), rows):
            numbers, counts = expected_stats(t)
            wrong += ["%s.%s is %s, expected %r" % (tensor, column, got, want)
                      for column, got, want in zip(COLUMNS, row[1:], numbers)
                      if not close(got, want, column in ("min", "max"))]
            wrong += ["%s.%s is %s, expected %r" % (tensor, column, got, want)
                      for column, got, want in zip(COUNTS, row[7:], counts)
                      if int(got) != want]
            sparsity = counts[0] / t.numel() if t.numel() else None
            if not close(row[10], sparsity, True):
                wrong.append("%s.sparsity is %s, expected %r"
                             % (tensor, row[10], sparsity))
        check(not wrong and [r[0] for r in rows] == list(tensors),
              "%s: stats are numpy's" % name, "\n".join(wrong))


def unique(tensors):
    """One tensor of those that are tied."""
    return {(t.data_ptr(), t.shape) if t.numel() else name: t
            for name, t in tensors.items()}.values()


def check_counts():
    for name in ("digits_mlp.pth", "digits_cnn.pth", "tied_transformer.pth",
                 "views.pth", "shapes.pth"):
        for expression in ("m", "prune(m, 0.5)"):
            tensors = unique(back(name, expression))
            n = sum(t.numel() for t in tensors)
            zeros = sum(int((t == 0).sum()) for t in tensors)
            got = sql("SELECT num_parameters(x), sparsity(x) FROM (SELECT %s "
                      "AS x FROM interop.models WHERE name = %s) s;"
                      % (expression, quote(name)))[0]
            check(int(got[0]) == n and float(got[1]) == zeros / n,
                  "%s: %d parameters, %d of them zero in %s"
                  % (name, n, zeros, expression), got)


def check_rates():
    """(size - new size) / size, and the same of parameters that are left."""
    tensors = data_load("digits_mlp.pth")
    n = sum(t.numel() for t in tensors.values())
    prunable = sum(t.numel() for t in tensors.values() if t.dim() > 1)
    for amount in (0.0, 0.123, 0.5, 1.0):
        got = sql("SELECT pruning_rate(m, p), compression_rate(m, p), "
                  "model_size(m), model_size(p) FROM (SELECT m, prune(m, %r) "
                  "AS p FROM interop.models WHERE name = 'digits_mlp.pth') s;"
                  % amount)[0]
        rate, compression, size, new_size = map(float, got)
        check(math.isclose(rate, round(amount * prunable) / n,
                           abs_tol=1e-12),
              "pruning_rate after prune(m, %g)" % amount, got)
        check(math.isclose(compression, max(0, (size - new_size) / size),
                           abs_tol=1e-12),
              "compression_rate after prune(m, %g)" % amount, got)


CHECKS = [("stats", check_stats), ("stats: counts", check_counts),
          ("stats: rates", check_rates)]
