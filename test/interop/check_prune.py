"""
prune against torch.nn.utils.prune: every method and scope, odd amounts.

torch leaves open which of two equal weights goes, so what is compared with it
has no equal magnitudes; the rule for ties is compared with numpy's stable
sort.  torch multiplies by its mask, which makes -0.0 of a negative weight;
here a pruned weight is +0.0, so the mask is what is compared, bit for bit.
"""
import itertools
import json
from collections import OrderedDict

import numpy
import torch
from torch import nn
from torch.nn.utils import prune

import digits_nets
from harness import (
    back, check, check_same, data_load, DatabaseError, difference, digits,
    quote, saved, scalar, sql, store)

AMOUNTS = (0.0, 1.0, 0.5, 0.3333, 0.123, 1 / 7, 0.001, 0.999)
COUNTS = (0, 1, 17, 1001)


# ---------- what torch makes of it ----------

class Holder(nn.Module):
    """A tensor where torch's functions expect it: in a module."""

    def __init__(self, t):
        super().__init__()
        self.weight = nn.Parameter(t.detach().clone())


def pruned_by(tensors, groups, apply):
    """
    The tensors after apply(list of holders) on each group of names, with what
    torch's masks switch off set to +0.0.
    """
    out = OrderedDict(tensors)
    for names in groups:
        holders = [Holder(tensors[name]) for name in names]
        apply(holders)
        for name, holder in zip(names, holders):
            mask = getattr(holder, "weight_mask",
                           torch.ones_like(tensors[name]))
            out[name] = torch.where(mask != 0, tensors[name],
                                    torch.zeros_like(tensors[name]))
            assert torch.equal(out[name], holder.weight)
    return out


def globally(method, times=1, **options):
    def apply(holders):
        for _ in range(times):
            prune.global_unstructured([(h, "weight") for h in holders],
                                      pruning_method=method, **options)
    return apply


def each(function, times=1, **options):
    def apply(holders):
        for holder in holders:
            for _ in range(times):
                function(holder, "weight", **options)
    return apply


class ThresholdPruning(prune.BasePruningMethod):
    """What torch users write for a threshold, after its documentation."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, threshold):
        self.threshold = threshold

    def compute_mask(self, t, default_mask):
        return default_mask * (t.abs() >= self.threshold).to(t.dtype)


# ---------- models to prune ----------

def without_ties(n, rng, dtype):
    """n different magnitudes with random signs, in any order."""
    start, step, unsigned, keep = {
        torch.float64: (0x3F90000000000000, 1 << 43, numpy.uint64, 63),
        torch.float32: (0x3C800000, 1031, numpy.uint32, 31),
        torch.float16: (0x1000, 3, numpy.uint16, 15),
        torch.bfloat16: (0x3C00, 1, numpy.uint16, 15)}[dtype]
    bits = start + step * rng.permutation(n).astype(object)
    signs = rng.integers(0, 2, n).astype(object) << keep
    data = numpy.array(bits | signs, dtype=unsigned).tobytes()
    return torch.frombuffer(bytearray(data), dtype=dtype).clone()


def from_pool(shapes, rng, dtype):
    """Tensors of the given shapes without a tie among all of them."""
    sizes = [int(numpy.prod(s)) for s in shapes]
    pool = without_ties(sum(sizes), rng, dtype)
    return [t.reshape(s) for t, s in zip(pool.split(sizes), shapes)]


SHAPES = [(7, 9), (5, 3, 4), (2, 3, 2, 2), (1, 1), (31, 33)]


def models():
    """Name, tensors and default targets of what the checks prune."""
    mlp = data_load("digits_mlp.pth")
    yield "digits_mlp.pth", mlp, [n for n in mlp if n.endswith("weight")]
    cnn = data_load("digits_cnn.pth")["state_dict"]
    yield ("digits_cnn.pth", cnn,
           ["conv1.weight", "conv2.weight", "fc.weight"])
    rng = numpy.random.default_rng(21)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        tensors = OrderedDict()
        made = from_pool(SHAPES, rng, dtype)
        for i, t in enumerate(made):
            tensors["block%d.weight" % i] = t
            tensors["block%d.bias" % i] = torch.randn(3).to(dtype)
        tensors["steps"] = torch.arange(6).reshape(2, 3)
        yield (str(dtype)[len("torch."):], tensors,
               ["block%d.weight" % i for i in range(len(made))])


MODELS = OrderedDict()


def load_models():
    for name, tensors, targets in models():
        MODELS[name] = (tensors, targets)
        store(name, saved(OrderedDict(tensors)))
        check_same(tensors, back(name), "%s is there to be pruned" % name)


def compare(name, groups, apply, call, what):
    """One call of ours against one of torch's."""
    tensors, _ = MODELS[name]
    expected = pruned_by(tensors, groups, apply)
    try:
        actual = back(name, call)
    except DatabaseError as e:
        return check(False, "%s: %s" % (name, what), "%s\n%s" % (call, e))
    found = difference(list(expected.items()), list(actual.items()))
    return check(not found, "%s: %s" % (name, what),
                 "%s\n%s" % (call, found))


def single(targets):
    return [[t] for t in targets]


# ---------- unstructured ----------

def check_l1():
    for name, (tensors, targets) in MODELS.items():
        for amount in AMOUNTS:
            compare(name, [targets],
                    globally(prune.L1Unstructured, amount=amount),
                    "prune(m, %r)" % amount, "l1 global %.4g" % amount)
            compare(name, single(targets),
                    each(prune.l1_unstructured, amount=amount),
                    "prune(m, %r, scope => 'tensor')" % amount,
                    "l1 tensor %.4g" % amount)
        compare(name, single(targets),
                each(prune.l1_unstructured, amount=0.3333),
                "prune(m, 0.3333, method => 'l2', scope => 'layer')",
                "l2 layer 0.3333")
        for count in COUNTS:
            if count <= sum(tensors[t].numel() for t in targets):
                compare(name, [targets],
                        globally(prune.L1Unstructured, amount=count),
                        "prune_count(m, %d)" % count, "l1 count %d" % count)
        compare(name, single(targets),
                each(prune.l1_unstructured, amount=1),
                "prune_count(m, 1, scope => 'tensor')", "l1 one a tensor")


def check_layer_scope():
    """Weight and bias of a layer are ranked together, if both are named."""
    names = ["layer%d.%s" % (i, kind) for i in (1, 2, 3)
             for kind in ("weight", "bias")]
    groups = [names[i:i + 2] for i in (0, 2, 4)]
    for amount in (0.5, 0.123, 1 / 7):
        compare("digits_mlp.pth", groups,
                globally(prune.L1Unstructured, amount=amount),
                "prune(m, %r, scope => 'layer', include => '{%s}')"
                % (amount, ",".join(names)), "l1 layer %.4g" % amount)
    compare("digits_mlp.pth", [["layer1.weight", "layer3.weight"]],
            globally(prune.L1Unstructured, amount=0.5),
            "prune(m, 0.5, exclude => '{layer2.weight}')",
            "l1 global without layer2")


def check_rounding():
    """Halves go to the even count, as Python's round does."""
    rng = numpy.random.default_rng(22)
    tensors = OrderedDict(
        ("t%d" % n, t) for n, t in zip(range(1, 30), from_pool(
            [(1, n) for n in range(1, 30)], rng, torch.float32)))
    MODELS["rounding"] = (tensors, list(tensors))
    store("rounding", saved(tensors))
    for amount in (0.5, 0.1, 0.25, 0.29, 0.7, 0.9, 1 / 3):
        compare("rounding", single(tensors),
                each(prune.l1_unstructured, amount=amount),
                "prune(m, %r, scope => 'tensor')" % amount,
                "1 to 29 elements, %.4g" % amount)


def check_remaining():
    """Again and again of what is left, as torch's PruningContainer does."""
    for name, (_, targets) in MODELS.items():
        for amount in (0.5, 0.123, 1 / 7):
            call = "m"
            for _ in range(3):
                call = "prune(%s, %r, of => 'remaining')" % (call, amount)
            compare(name, [targets],
                    globally(prune.L1Unstructured, 3, amount=amount), call,
                    "three times %.4g of the remaining, global" % amount)
            call = call.replace("of =>", "scope => 'tensor', of =>")
            compare(name, single(targets),
                    each(prune.l1_unstructured, 3, amount=amount), call,
                    "three times %.4g of the remaining, tensor" % amount)
    for name in MODELS:
        same = scalar("SELECT prune(prune(m, 0.5), 0.5) = prune(m, 0.5) AND "
                      "prune(m, 0) = m FROM interop.models WHERE name = %s;"
                      % quote(name))
        check(same == "t", "%s: half twice is half, and nothing is nothing"
              % name)


def check_f16():
    """torch 1.13 cannot rank f16 on a CPU, so it ranks the same as f32."""
    rng = numpy.random.default_rng(23)
    tensors = OrderedDict(zip("abc", from_pool(SHAPES[:3], rng,
                                               torch.float16)))
    store("f16", saved(tensors))
    wide = OrderedDict((n, t.float()) for n, t in tensors.items())
    for amount in AMOUNTS:
        expected = OrderedDict(
            (n, t.half()) for n, t in pruned_by(
                wide, [list(wide)],
                globally(prune.L1Unstructured, amount=amount)).items())
        check_same(expected, back("f16", "prune(m, %r)" % amount),
                   "f16: l1 global %.4g" % amount)


def check_mixed():
    """One ranking over dtypes; torch concatenates them into the widest."""
    rng = numpy.random.default_rng(24)
    pool = from_pool([(9, 7), (5, 5), (3, 3, 3)], rng, torch.bfloat16)
    tensors = OrderedDict([("a", pool[0]), ("b", pool[1].float()),
                           ("c", pool[2].double())])
    MODELS["mixed"] = (tensors, list(tensors))
    store("mixed", saved(tensors))
    for amount in AMOUNTS:
        compare("mixed", [list(tensors)],
                globally(prune.L1Unstructured, amount=amount),
                "prune(m, %r)" % amount, "l1 global %.4g" % amount)


def check_random():
    """How many, and nothing else changed; the same seed, the same choice."""
    for name, (tensors, targets) in MODELS.items():
        for amount in (0.0, 0.3333, 0.5, 1 / 7, 1.0):
            for scope, groups in (("global", [targets]),
                                  ("tensor", single(targets))):
                actual = back(name, "prune(m, %r, method => 'random', scope "
                              "=> '%s', seed => 5)" % (amount, scope))
                gone = kept_or_zero(tensors, actual)
                wanted = [round(amount * sum(tensors[t].numel() for t in g))
                          for g in groups]
                got = [sum(gone[t] for t in g) for g in groups]
                check(got == wanted, "%s: random %s %.4g prunes exactly %d"
                      % (name, scope, amount, sum(wanted)), got)
    same = sql("""SELECT prune(m, 0.5, method => 'random', seed => 1)
            = prune(m, 0.5, method => 'random', seed => 1),
        prune(m, 0.5, method => 'random', seed => 1)
            <> prune(m, 0.5, method => 'random', seed => 2),
        sparsity(prune(prune(m, 0.5, method => 'random', seed => 1), 0.5,
                       method => 'random', seed => 2, of => 'remaining'))
        FROM interop.models WHERE name = 'float32';""")[0]
    check(same[:2] == ["t", "t"], "random: a seed is a choice", same)


def kept_or_zero(before, after):
    """How many elements of each tensor became +0.0; the rest is as before."""
    gone = {}
    for name, t in before.items():
        zero = after[name] == 0
        gone[name] = int(zero.sum()) if t.is_floating_point() else 0
        merged = torch.where(zero, torch.zeros_like(t), t)
        found = difference([(name, merged)], [(name, after[name])])
        assert not found, found
    return gone


def check_threshold():
    for name, (tensors, targets) in MODELS.items():
        some = float(tensors[targets[0]].abs().flatten()[3 % tensors[
            targets[0]].numel()])       # one that is exactly there, and stays
        for threshold in (0.0, some, 0.05, 1e9):
            compare(name, single(targets),
                    each(ThresholdPruning.apply, threshold=threshold),
                    "prune(m, %r, method => 'threshold')" % threshold,
                    "threshold %.6g" % threshold)


# ---------- structured ----------

def check_ln_structured():
    for name, (tensors, targets) in MODELS.items():
        if not name.startswith("digits") and name != "float64":
            continue
        for norm, dim, amount in itertools.product(
                (1, 2, float("inf"), float("-inf")), (0, 1, -1),
                (0.0, 1.0, 0.5, 0.3333, 0.123)):
            spelled = {float("inf"): "'Infinity'",
                       float("-inf"): "'-Infinity'"}.get(norm, norm)
            compare(name, single(targets),
                    each(prune.ln_structured, amount=amount, n=norm, dim=dim),
                    "prune(m, %r, method => 'ln_structured', norm => %s, "
                    "dim => %d)" % (amount, spelled, dim),
                    "ln_structured norm %s dim %d %.4g" % (norm, dim, amount))
        compare(name, single(targets),
                each(prune.ln_structured, amount=1, n=2, dim=0),
                "prune_count(m, 1, method => 'ln_structured', dim => 0)",
                "ln_structured, one slice")
        for amount in (0.5, 1 / 3):
            call = "m"
            for _ in range(2):
                call = ("prune(%s, %r, method => 'ln_structured', dim => 0, "
                        "norm => 1, of => 'remaining')" % (call, amount))
            compare(name, single(targets),
                    each(prune.ln_structured, 2, amount=amount, n=1, dim=0),
                    call, "ln_structured twice %.4g of the remaining" % amount)


def check_random_structured():
    for name, (tensors, targets) in MODELS.items():
        for dim, amount in itertools.product((0, 1, -1), (0.5, 0.3333, 1.0)):
            actual = back(name, "prune(m, %r, method => 'random_structured', "
                          "dim => %d, seed => 9)" % (amount, dim))
            kept_or_zero(tensors, actual)
            wrong = []
            for target in targets:
                slices = actual[target].transpose(0, dim).flatten(1)
                gone = int((slices == 0).all(1).sum())
                wanted = round(amount * slices.shape[0])
                partly = int(((slices == 0).any(1)
                              & ~(slices == 0).all(1)).sum())
                if gone != wanted or partly:
                    wrong.append("%s: %d of %d slices and %d in part, "
                                 "expected %d" % (target, gone, len(slices),
                                                  partly, wanted))
            check(not wrong, "%s: random_structured dim %d %.4g"
                  % (name, dim, amount), "\n".join(wrong))


# ---------- n:m, mask ----------

def keep_n_of_m(t, n, m, axis):
    """By numpy: the n largest of every m stay, ties prune the first."""
    a = numpy.moveaxis(t.double().numpy(), axis, -1)
    whole = a.shape[-1] // m * m
    groups = numpy.abs(a[..., :whole]).reshape(-1, m)
    order = numpy.argsort(groups, axis=1, kind="stable")
    mask = numpy.ones_like(groups, dtype=bool)
    numpy.put_along_axis(mask, order[:, :m - n], False, axis=1)
    full = numpy.ones(a.shape, dtype=bool)
    full[..., :whole] = mask.reshape(a[..., :whole].shape)
    mask = torch.from_numpy(numpy.moveaxis(full, -1, axis).copy())
    return torch.where(mask, t, torch.zeros_like(t))


def check_n_m():
    for name, (tensors, targets) in MODELS.items():
        for (n, m), dim in itertools.product(
                ((2, 4), (1, 4), (1, 2), (3, 8), (5, 7)), (None, 0, -1)):
            expected = OrderedDict(tensors)
            for target in targets:
                expected[target] = keep_n_of_m(
                    tensors[target], n, m, 1 if dim is None else dim)
            call = ("prune(m, NULL, method => 'n:m', n => %d, m_of => %d%s)"
                    % (n, m, "" if dim is None else ", dim => %d" % dim))
            check_same(expected, back(name, call),
                       "%s: %d:%d along dim %s" % (name, n, m, dim))
    patterns = torch.tensor(list(itertools.product((0., 1., -2.), repeat=4)))
    store("patterns", saved({"w": patterns}))
    check_same({"w": keep_n_of_m(patterns, 2, 4, 1)},
               back("patterns", "prune(m, NULL, method => 'n:m', n => 2, "
                    "m_of => 4)"),
               "2:4 over all 81 patterns of three magnitudes")


def check_mask():
    torch.manual_seed(25)
    for name, (tensors, targets) in MODELS.items():
        for dtype in (torch.bool, torch.uint8, torch.float32):
            masks = OrderedDict(
                (t, (torch.rand(tensors[t].shape) < 0.4).to(dtype))
                for t in targets)
            store("mask", saved(masks))
            given = iter(masks.values())
            compare(name, single(targets),
                    lambda holders: prune.custom_from_mask(
                        holders[0], "weight", next(given)),
                    "prune(m, NULL, method => 'mask', mask => (SELECT m FROM "
                    "interop.models WHERE name = 'mask'))",
                    "mask of %s" % str(dtype)[len("torch."):])


# ---------- ties, not numbers, ties of the other kind ----------

def check_ties():
    """Lowest tensor, then lowest index first; NaN last, after infinity."""
    rng = numpy.random.default_rng(26)
    values = numpy.array([0, -0.0, 1, -1, 2, numpy.inf, -numpy.inf,
                          numpy.nan, 1e-45, -1e-45], dtype=numpy.float32)
    arrays = [rng.choice(values, s) for s in ((9, 11), (4, 5, 3), (2, 2))]
    tensors = OrderedDict(("t%d" % i, torch.tensor(a))
                          for i, a in enumerate(arrays))
    store("ties", saved(tensors))
    flat = numpy.concatenate([a.reshape(-1) for a in arrays])
    order = numpy.argsort(numpy.abs(flat), kind="stable")   # NaN comes last
    for k in (0, 1, 5, 40, 80, 120, 140, 150, 162, len(flat)):
        left = flat.copy()
        left[order[:k]] = 0.0
        parts = numpy.split(left, numpy.cumsum([a.size for a in arrays])[:-1])
        expected = OrderedDict(
            ("t%d" % i, torch.tensor(p.reshape(a.shape)))
            for i, (p, a) in enumerate(zip(parts, arrays)))
        check_same(expected, back("ties", "prune_count(m, %d)" % k),
                   "ties: the first %d of numpy's stable order" % k)
    one = torch.full((50, 40), -0.25)
    store("ties", saved({"w": one}))
    expected = one.clone()
    expected.view(-1)[:round(2000 * 0.3333)] = 0.0
    check_same({"w": expected}, back("ties", "prune(m, 0.3333)"),
               "ties: of equal weights the first go, and no more")


def sampled_places(n, drawn=262144):
    """
    Which of n elements the server looks at before it prunes (draw_sample in
    prune_unstructured.c), written once more: element i + u of each stretch,
    u being SplitMix64's i-th output.
    """
    z = numpy.arange(1, drawn + 1, dtype=numpy.uint64)
    z *= numpy.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> numpy.uint64(shift))) * numpy.uint64(factor)
    z ^= z >> numpy.uint64(31)
    place = (z >> numpy.uint64(11)).astype(numpy.float64) * 2.0 ** -53
    return ((numpy.arange(drawn) + place) * (n / drawn)).astype(numpy.int64)


def check_misled():
    """Weights that are large just where the sample is drawn, or just not."""
    rng = numpy.random.default_rng(27)
    n = 1000 * 1000
    for dtype in (numpy.float32, numpy.float64):
        for sign, what in ((1, "large"), (-1, "small")):
            values = rng.standard_normal(n)
            values[sampled_places(n)] *= 10.0 ** (6 * sign)
            values = values.astype(dtype)
            store("misled", saved({"w": torch.from_numpy(values)
                                   .reshape(1000, 1000)}))
            order = numpy.argsort(numpy.abs(values), kind="stable")
            for amount in (0.25, 0.5, 0.9):
                expected = values.copy()
                expected[order[:round(amount * n)]] = 0
                check_same({"w": torch.from_numpy(expected)
                            .reshape(1000, 1000)},
                           back("misled", "prune(m, %r)" % amount),
                           "misled: %s ones in the sample, %s, %.2g"
                           % (what, dtype.__name__, amount))
    sql("DELETE FROM interop.models WHERE name = 'misled'")


def check_tied():
    """A storage with two names is pruned once, and still is one storage."""
    tensors = data_load("tied_transformer.pth")
    names = ["embed.weight", "attention.in_proj_weight", "up.weight"]
    MODELS["tied_transformer.pth"] = (tensors, names)
    for amount in (0.5, 1 / 7):
        expected = pruned_by(tensors, [names],
                             globally(prune.L1Unstructured, amount=amount))
        expected["output.weight"] = expected["embed.weight"]
        actual = back("tied_transformer.pth",
                      "prune(m, %r, include => '{%s}')"
                      % (amount, ",".join(names)))
        check_same(expected, actual,
                   "tied weights: pruned as one, %.4g" % amount)
        check(actual["output.weight"].data_ptr()
              == actual["embed.weight"].data_ptr(),
              "tied weights: still tied, %.4g" % amount)
    del MODELS["tied_transformer.pth"]


# ---------- as a whole ----------

def check_accuracy():
    """Half of the weights gone, the network still reads digits."""
    x, y = digits()
    tensors, targets = MODELS["digits_mlp.pth"]
    theirs = digits_nets.DigitsMLP()
    theirs.load_state_dict(tensors)
    prune.global_unstructured(
        [(theirs.layer1, "weight"), (theirs.layer2, "weight"),
         (theirs.layer3, "weight")], prune.L1Unstructured, amount=0.5)
    ours = digits_nets.DigitsMLP()
    ours.load_state_dict(back("digits_mlp.pth", "prune(m, 0.5)"))
    with torch.no_grad():
        right = (ours(x).argmax(1) == y).double().mean().item()
        check(right > 0.85, "half of the perceptron is still %.0f %% right"
              % (100 * right))
        check(torch.equal(ours(x), theirs(x)),
              "and answers exactly as torch's own half")
    cnn = digits_nets.DigitsCNN().eval()
    cnn.load_state_dict(back("digits_cnn.pth", "prune(m, 0.5)"))
    with torch.no_grad():
        right = (cnn(x).argmax(1) == y).double().mean().item()
    check(right > 0.85, "half of the convolutional net is still %.0f %% right"
          % (100 * right))


def check_refused():
    """What torch does not accept as an amount is none here either."""
    t = torch.randn(4, 5)
    store("refused", saved({"w": t}))
    for torch_amount, call in (
            (-0.1, "prune(m, -0.1)"), (1.5, "prune(m, 1.5)"),
            (float("nan"), "prune(m, 'NaN')"),
            (float("inf"), "prune(m, 'Infinity')"),
            (21, "prune_count(m, 21)"), (-1, "prune_count(m, -1)")):
        try:
            prune.l1_unstructured(Holder(t), "weight", torch_amount)
            theirs = "accepted"
        except ValueError:
            theirs = "refused"
        try:
            back("refused", call)
            ours = "accepted"
        except DatabaseError as e:
            ours = "refused" if e.sqlstate == "22023" else str(e)
        check(ours == theirs == "refused", "%s is refused" % call, ours)


def check_wanda():
    """The paper's formula, with torch's arithmetic: the lowest products of each
    row, or of every four in one."""
    generator = torch.Generator().manual_seed(9)
    weights = {"w": torch.randn(37, 53, generator=generator),
               "ties": torch.randint(-3, 4, (16, 40),
                                     generator=generator).float(),
               "half": torch.randn(20, 64, generator=generator).half()}
    norms = {name: torch.rand(w.shape[1], generator=generator) + 0.1
             for name, w in weights.items()}
    norms["ties"] = torch.ones(40)
    store("wanda", saved(weights))
    given = json.dumps({name: n.tolist() for name, n in norms.items()})
    for ratio in (0, 0.3, 0.5, 0.77, 1):
        expected = {}
        for name, w in weights.items():
            score = torch.abs(w) * norms[name].reshape(1, -1)
            order = torch.sort(score, dim=-1, stable=True)[1]
            expected[name] = w.clone()
            expected[name].scatter_(
                1, order[:, :int(w.shape[1] * ratio)], 0)
        check_same(expected, back(
            "wanda", "prune(m, %g, 'wanda', activation_norms => '%s')"
            % (ratio, given)), "wanda, %g of each row" % ratio)
    expected = {}
    for name, w in weights.items():
        expected[name] = w.clone()
        if name != "ties":
            score = (torch.abs(w) * norms[name].reshape(1, -1)).float()
            for i in range(0, w.shape[1] - 3, 4):
                lowest = torch.topk(score[:, i:i + 4], 2, 1, largest=False)[1]
                expected[name].scatter_(1, i + lowest, 0)
    check_same(expected, back(
        "wanda", "prune(m, method => 'wanda', n => 2, m_of => 4, "
        "exclude => '{ties}', activation_norms => '%s')" % given),
        "wanda, 2 of every 4")


CHECKS = [("prune: models", load_models), ("prune: wanda", check_wanda), ("prune: l1", check_l1),
          ("prune: layers", check_layer_scope),
          ("prune: rounding", check_rounding),
          ("prune: remaining", check_remaining),
          ("prune: f16", check_f16), ("prune: mixed dtypes", check_mixed),
          ("prune: random", check_random),
          ("prune: threshold", check_threshold),
          ("prune: ln_structured", check_ln_structured),
          ("prune: random_structured", check_random_structured),
          ("prune: n:m", check_n_m), ("prune: mask", check_mask),
          ("prune: ties", check_ties),
          ("prune: misled", check_misled), ("prune: tied weights", check_tied),
          ("prune: accuracy", check_accuracy),
          ("prune: refused", check_refused)]
