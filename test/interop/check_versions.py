"""
Differences and merges of versions against numpy and torch, on checkpoints
that were trained here from one of the test data.

The formulas are those of mergekit (linear, task_arithmetic, ties with
normalize, slerp), in double precision and rounded to float32 and then to the
tensors' dtype.
"""
import math
from collections import OrderedDict

import numpy
import torch

import digits_nets
from harness import back, check, check_same, data_load, digits, quote, saved, scalar, sql, store

COLUMNS = ("elements", "changed", "max_abs", "l2", "rel_l2", "cosine",
           "sparsity_a", "sparsity_b")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


# ---------- three related checkpoints ----------

def trained(start, seed, steps):
    """The checkpoint after some steps on half of the pictures."""
    torch.manual_seed(seed)
    net = digits_nets.DigitsMLP()
    net.load_state_dict(start)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    pictures, labels = digits()
    for _ in range(steps):
        rows = torch.randperm(len(labels))[:len(labels) // 2]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(pictures[rows]),
                                          labels[rows]).backward()
        optimizer.step()
    return OrderedDict((name, t.detach().clone())
                       for name, t in net.state_dict().items())


def family():
    base = OrderedDict(data_load("digits_mlp.pth"))
    return {"base": base, "ours": trained(base, 1, 7),
            "theirs": trained(base, 2, 5)}


def typed(tensors, dtype):
    return OrderedDict((name, t.to(dtype)) for name, t in tensors.items())


def commit(model, branch, name, tensors):
    store(name, saved(tensors))
    return scalar("SELECT modelopt.commit(%s, m, %s) FROM interop.models "
                  "WHERE name = %s;" % (quote(model + branch), quote(name),
                                        quote(name)))


def commit_family(model, versions):
    """Version 1 is the base, 2 on the default branch, 3 on branch exp."""
    commit(model, "", "base", versions["base"])
    sql("SELECT modelopt.branch(%s, 'exp');" % quote(model))
    commit(model, "", "ours", versions["ours"])
    commit(model, "/exp", "theirs", versions["theirs"])


# ---------- differences ----------

def expected_diff(a, b):
    x = a.double().numpy().reshape(-1)
    y = b.double().numpy().reshape(-1)
    distance = y - x
    return (x.size, int((x != y).sum()), numpy.abs(distance).max(),
            numpy.linalg.norm(distance),
            numpy.linalg.norm(distance) / numpy.linalg.norm(x),
            float(x @ y) / (numpy.linalg.norm(x) * numpy.linalg.norm(y)),
            (x == 0).mean(), (y == 0).mean())


def check_diff(model, versions, what):
    rows = sql("SELECT tensor, %s FROM modelopt.diff(%s, %s, unchanged => true);"
               % (", ".join(COLUMNS), quote(model + "#2"), quote(model + "#3")))
    wrong = []
    for row, (name, a) in zip(rows, versions["ours"].items()):
        for column, got, want in zip(COLUMNS, row[1:],
                                     expected_diff(a, versions["theirs"][name])):
            if not math.isclose(float(got), want, rel_tol=1e-11, abs_tol=1e-14):
                wrong.append("%s.%s is %s, expected %r" % (name, column, got, want))
    check(not wrong and [r[0] for r in rows] == list(versions["ours"]),
          "%s: differences are numpy's" % what, "\n".join(wrong))


# ---------- merges ----------

def rounded(merged, dtype):
    return merged if dtype == torch.float64 else merged.float().to(dtype)


def linear(weights):
    total = sum(weights)

    def merge(base, x, y):
        return weights[0] / total * x + weights[1] / total * y
    return merge


def task_arithmetic(weights, scale):
    def merge(base, x, y):
        return base + scale * (weights[0] * (x - base) + weights[1] * (y - base))
    return merge


def trim(delta, density, narrow):
    """The largest magnitudes, of equal ones the last, ranked as float32 but
    for doubles."""
    keys = delta.abs().reshape(-1)
    order = numpy.argsort((keys.float() if narrow else keys).numpy(), kind="stable")
    mask = torch.zeros(delta.numel(), dtype=delta.dtype)
    mask[torch.from_numpy(order[-max(int(density * delta.numel()), 1):].copy())] = 1
    return delta * mask.reshape(delta.shape)


def ties(weights, density, scale, narrow):
    def merge(base, x, y):
        deltas = torch.stack([trim(t - base, density, narrow) for t in (x, y)])
        w = torch.tensor(weights, dtype=torch.float64).reshape(
            [2] + [1] * base.dim())
        deltas = deltas * w
        elected = (deltas.sum(dim=0) >= 0).double() * 2 - 1
        mask = (deltas.sign() == elected).double()
        divisor = (w * mask).sum(dim=0)
        divisor[divisor == 0] = 1
        return base + scale * ((deltas * mask).sum(dim=0) / divisor)
    return merge


def slerp(share):
    def merge(base, x, y):
        dot = float((x / x.norm() * (y / y.norm())).sum())
        if abs(dot) > 0.9995:
            return (1 - share) * x + share * y
        angle = math.acos(dot)
        return (math.sin((1 - share) * angle) / math.sin(angle) * x
                + math.sin(share * angle) / math.sin(angle) * y)
    return merge


def merged_by_torch(versions, formula, dtype):
    return OrderedDict(
        (name, rounded(formula(*(versions[v][name].double()
                                 for v in ("base", "ours", "theirs"))), dtype))
        for name in versions["ours"])


def merged_here(model, arguments):
    """What a merge makes of the branch, which goes back afterwards."""
    sql("SELECT modelopt.merge(%s, %s, %s);"
        % (quote(model), quote(model + "/exp"), arguments))
    sql("INSERT INTO interop.models SELECT 'merged', modelopt.get(%s) "
        "ON CONFLICT (name) DO UPDATE SET m = excluded.m;" % quote(model))
    sql("SELECT modelopt.reset(%s, 'main', %s);"
        % (quote(model), quote(model + "#2")))
    return back("merged")


def check_near(expected, actual, what):
    wrong = [name for name, t in expected.items()
             if actual[name].dtype != t.dtype or not torch.allclose(
                 actual[name].double(), t.double(),
                 rtol=2 * torch.finfo(t.dtype).eps, atol=1e-12)]
    check(not wrong and list(actual) == list(expected), what, wrong)


def check_merges(model, versions, dtype, what):
    narrow = dtype != torch.float64
    for arguments, formula in (
            ("'average'", linear((1, 1))),
            ("'weighted', ARRAY[3, 5]", linear((3, 5))),
            ("'task_arithmetic'", task_arithmetic((1, 1), 0.4)),
            ("'task_arithmetic', ARRAY[1, -0.5], lambda => 0.7",
             task_arithmetic((1, -0.5), 0.7)),
            ("'ties'", ties((1, 1), 0.2, 1, narrow)),
            ("'ties', ARRAY[2, 1], 0.7, 1.5", ties((2, 1), 0.7, 1.5, narrow))):
        check_same(merged_by_torch(versions, formula, dtype),
                   merged_here(model, arguments), "%s: merge by %s" % (what, arguments))
    for arguments, formula in (("'slerp'", slerp(0.5)),
                               ("'slerp', ARRAY[0.25, 0.75]", slerp(0.75))):
        check_near(merged_by_torch(versions, formula, dtype),
                   merged_here(model, arguments), "%s: merge by %s" % (what, arguments))


def check_versions():
    trained_here = family()
    for dtype in DTYPES:
        what = str(dtype).replace("torch.", "")
        model = "interop_" + what
        versions = {v: typed(t, dtype) for v, t in trained_here.items()}
        commit_family(model, versions)
        check_diff(model, versions, what)
        check_merges(model, versions, dtype, what)
        sql("SELECT modelopt.drop(%s);" % quote(model))


def check_far_apart():
    """Directions far apart, where slerp is no sum with the shares."""
    torch.manual_seed(3)
    versions = {v: OrderedDict(w=torch.randn(33, 70), b=torch.randn(5))
                for v in ("base", "ours", "theirs")}
    versions["theirs"]["b"] = -versions["ours"]["b"]    # opposite: linear
    commit_family("interop_far", versions)
    check_merges("interop_far", versions, torch.float32, "far apart")
    sql("SELECT modelopt.drop('interop_far');")


CHECKS = [("versions: trained checkpoints", check_versions),
          ("versions: far apart", check_far_apart)]
