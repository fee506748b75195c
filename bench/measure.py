"""
measure.py FOLDER MILLIONS REPEATS [PART ...]

Measures modelopt on the server that libpq's environment names, whose data
directory FOLDER is, against PyTorch and NumPy in this process.
"""
import os
import subprocess
import sys
import time

import numpy
import torch

import cuts
import files
import harness
import smaller
import torch_ways
from harness import alternate, timed

HERE = os.path.dirname(os.path.abspath(__file__))
READ = "m := model_read(pg_read_binary_file('bench.pth'))"


class Bench:
    def __init__(self, folder, millions, repeats):
        self.folder = folder
        self.repeats = repeats
        self.report = harness.Report()
        self.session = harness.Session()
        self.millions = millions
        self.file = os.path.join(folder, "bench.pth")
        self.weights = torch_ways.make_weights(millions)
        self.bytes = 4 * sum(w.numel() for w in self.weights.values())
        torch.save(self.weights, self.file)
        os.chmod(self.file, 0o644)
        torch_ways.sync(self.file)

    # ---------- in memory ----------

    def copies(self):
        """What copying the model's bytes takes, into memory in use, and into
        new memory, as every function's result is."""
        source = numpy.ones(self.bytes, dtype=numpy.uint8)
        target = numpy.ones(self.bytes, dtype=numpy.uint8)
        return (lambda: timed(lambda: numpy.copyto(target, source)),
                lambda: timed(source.copy))

    def ours(self, expression, type_="model"):
        return lambda: self.session.seconds_within(READ, expression, type_)

    def on_modules(self, function):
        """Modules are made anew for each turn, outside of the measurement."""
        def turn():
            owners = torch_ways.modules(
                {name: w.clone() for name, w in self.weights.items()})
            return timed(lambda: function(owners))
        return turn

    def on_weights(self, function):
        return lambda: timed(lambda: function(self.weights))

    def in_memory(self):
        arrays = {name: w.numpy() for name, w in self.weights.items()}
        ours, copy, clone, torch_way, kthvalue, partition = alternate(
            self.repeats, self.ours("prune(m, 0.5)"), *self.copies(),
            self.on_modules(torch_ways.prune_globally),
            self.on_weights(torch_ways.prune_by_kthvalue),
            lambda: timed(lambda: torch_ways.prune_by_partition(arrays)))
        add = self.report.add
        what = "prune(m, 0.5), in memory"
        add(what, ours, "torch prune.global_unstructured + remove", torch_way,
            faster=30)
        add(what, ours, "torch kthvalue, mask", kthvalue, faster=5)
        add(what, ours, "numpy partition, mask", partition, faster=5)
        for taken, limit, against in (
                (copy, 4, "memcpy of the same bytes"),
                (clone, None, "the same into new memory")):
            self.report.add_limit("  as copies of the model", ours / taken,
                                  "copies", limit,
                                  harness.readable(ours, "s"),
                                  harness.readable(taken, "s"), against)

    # ---------- from table to table ----------

    def make_tables(self):
        self.session.run(
            "CREATE TABLE source (m model); CREATE TABLE t (m model);"
            "INSERT INTO source VALUES"
            " (model_read(pg_read_binary_file('bench.pth'))); CHECKPOINT;")

    def update(self):
        """A row of the dense model is there; its update is measured."""
        self.session.run("TRUNCATE t; INSERT INTO t TABLE source; CHECKPOINT;")
        return self.session.seconds("UPDATE t SET m = prune(m, 0.5);")

    def torch_process(self):
        """Seconds and peak, without the interpreter's start and imports."""
        done = subprocess.run(
            [sys.executable, "-B", os.path.join(HERE, "torch_ways.py"),
             self.file, os.path.join(self.folder, "pruned.pth")],
            stdout=subprocess.PIPE, universal_newlines=True, check=True)
        return [float(word) for word in done.stdout.split()]

    def table_to_table(self):
        self.make_tables()
        ours, theirs = alternate(self.repeats, self.update,
                                 lambda: self.torch_process()[0])
        self.report.add("UPDATE t SET m = prune(m, 0.5), committed", ours,
                        "torch.load, prune, remove, save, fsync", theirs,
                        faster=5)
        self.memory()
        self.manifest()

    def peak(self, statement):
        """Of a backend that does nothing else."""
        fresh = harness.Session()
        fresh.run("SELECT num_parameters(NULL);")
        peak = harness.PeakMemory(fresh.pid)
        fresh.run(statement)
        most = peak.stop()
        fresh.close()
        return most

    def memory(self):
        self.session.run("TRUNCATE t; INSERT INTO t TABLE source;")
        ours = self.peak("UPDATE t SET m = prune(m, 0.5);")
        theirs = self.torch_process()[1]
        self.report.add_limit("  peak memory of its backend",
                              ours / self.bytes, "models", 2.2,
                              harness.readable(ours, "MB"),
                              harness.readable(theirs, "MB"),
                              "that process")

    def manifest(self):
        for what, query in (
                ("tensors(m) of a stored model",
                 "SELECT count(*) FROM source, tensors(m);"),
                ("num_parameters(m) of a stored model",
                 "SELECT num_parameters(m) FROM source;")):
            taken, = alternate(self.repeats,
                               lambda: self.session.seconds(query))
            self.report.add_limit(what, taken, "ms", 5)

    # ---------- smaller models ----------

    def smaller(self):
        smaller.run(self, self.millions)

    # ---------- for information ----------

    def others(self):
        within = self.session.seconds_within
        for what, ours, against, theirs in (
                ("model_read(pg_read_binary_file(...))",
                 lambda: within("NULL", "model_read(pg_read_binary_file("
                                "'bench.pth'))"),
                 "torch.load", lambda: timed(lambda: torch.load(self.file))),
                ("model_write(m, 'pytorch')",
                 self.ours("model_write(m, 'pytorch')", "bytea"),
                 "torch.save into memory",
                 self.on_weights(torch_ways.save_to_memory)),
                ("stats(m)",
                 self.ours("(SELECT sum(l2) FROM stats(m))", "float8"),
                 "torch, a function a number",
                 self.on_weights(torch_ways.statistics)),
                ("prune, ln_structured",
                 self.ours("prune(m, 0.5, 'ln_structured')"),
                 "torch prune.ln_structured + remove",
                 self.on_modules(torch_ways.prune_rows)),
                ("prune, 2:4",
                 self.ours("prune(m, method => 'n:m', n => 2, m_of => 4)"),
                 "torch topk, scatter, mask",
                 self.on_weights(torch_ways.keep_two_of_four))):
            ours, theirs = alternate(self.repeats, ours, theirs)
            self.report.add(what, ours, against, theirs)


    # ---------- files ----------

    def formats(self):
        """Bytes in memory become a model and a model bytes, against copying
        them; and files a model, against what their libraries do."""
        for name, write in (("pth", None),
                            ("safetensors", files.write_safetensors),
                            ("onnx", files.write_onnx),
                            ("npz", files.write_npz)):
            path = os.path.join(self.folder, "bench." + name)
            if write:
                write(path, self.weights)
                os.chmod(path, 0o644)
            library = harness.Library(path)
            if library.missing:
                print("  no library reads .%s here: %s"
                      % (name, library.missing), flush=True)
            self.load_memory(name, library)
            self.format_speed(name, library)
            library.close()

    def format_speed(self, name, library):
        prepare = "data := pg_read_binary_file('bench.%s')" % name
        copy, _ = self.copies()
        within = self.session.seconds_within
        format_ = {"pth": "pytorch"}.get(name, name)
        ways = [("model_read of a .%s value" % name, 2, "load",
                 lambda: within(prepare, "model_read(data)")),
                ("model_write of a .%s value" % name, None, "save",
                 lambda: within("m := model_load('bench.%s')" % name,
                                "model_write(m, '%s')" % format_, "bytea"))]
        for what, limit, command, way in ways:
            turns = [way, copy]
            if not library.missing:
                turns.append(lambda: library.seconds(command))
            ours, copied, *theirs = alternate(self.repeats, *turns)
            self.report.add_limit(what, ours / copied, "copies", limit,
                                  harness.readable(ours, "s"),
                                  harness.readable(copied, "s"),
                                  "memcpy of the same bytes")
            if theirs:
                self.report.add("  the same", ours, "%s, %s" % (
                    library.version, "from the file" if command == "load"
                    else "into memory"), theirs[0])

    def load_memory(self, name, library):
        """Of a process that has read no other model."""
        fresh = harness.Session()
        fresh.run("SELECT model_read(model_write(model_agg('w', '{1}')));")
        peak = harness.PeakMemory(fresh.pid)
        fresh.run("SELECT num_parameters(model_load('bench.%s'));" % name)
        ours = peak.stop()
        fresh.close()
        theirs = 0
        if not library.missing:
            peak = harness.PeakMemory(library.pid)
            library.seconds("load")
            theirs = peak.stop()
        self.report.add_limit("model_load of a .%s file, peak memory" % name,
                              ours / self.bytes, "models", 2.2,
                              harness.readable(ours, "MB"),
                              harness.readable(theirs, "MB") if theirs else "",
                              library.version if theirs else "")


    # ---------- without loss ----------

    def lossless(self):
        """In a process of its own, for the other tools want a newer PyTorch."""
        subprocess.check_call(
            [os.environ.get("BENCH_PYPI", sys.executable), "-B",
             os.path.join(HERE, "lossless.py"), str(self.repeats)])


    # ---------- cutting nodes ----------

    def cutting(self):
        """Half of the nodes go, against Torch-Pruning; the peak memory is that
        of a backend which has done nothing else, with the model that it
        reads."""
        if cuts.torch_pruning is None:
            print("  Torch-Pruning is not there: nothing to compare with.")
        for name, net, architecture, x, output in cuts.nets():
            path = os.path.join(self.folder, "cut.pth")
            with open(path, "wb") as f:
                f.write(cuts.checkpoint(net))
            os.chmod(path, 0o644)
            prepare = ("m := set_graph(model_read(pg_read_binary_file("
                       "'cut.pth')), $a$%s$a$)" % architecture)
            what = "cut_nodes(m, 0.5), %s of %.0f million" % (
                name, cuts.parameters(net) / 1e6)
            turns = [lambda: self.session.seconds_within(
                prepare, "cut_nodes(m, 0.5)")]
            if cuts.torch_pruning is not None:
                def theirs():
                    other = cuts.copies(net)
                    return timed(lambda: cuts.torch_prunes(other, x, output))
                turns.append(theirs)
            taken = alternate(self.repeats, *turns)
            if len(taken) > 1:
                self.report.add(what, taken[0], "Torch-Pruning", taken[1],
                                faster=5)
            else:
                self.report.add_limit(what, taken[0], "ms")
            self.cut_memory(architecture, 4 * cuts.parameters(net))

    def cut_memory(self, architecture, size):
        self.session.run(
            "DROP TABLE IF EXISTS cut; CREATE TABLE cut AS SELECT set_graph("
            "model_read(pg_read_binary_file('cut.pth')), $a$%s$a$) AS m;"
            % architecture)
        fresh = harness.Session()
        fresh.run("SELECT count(*) FROM cut;")
        peak = harness.PeakMemory(fresh.pid)
        fresh.run("UPDATE cut SET m = cut_nodes(m, 0.5);")
        used = peak.stop()
        fresh.close()
        self.report.add_limit("  peak memory of its backend", used / size,
                              "models", 2.2, harness.readable(used, "MB"))


PARTS = {"memory": Bench.in_memory, "table": Bench.table_to_table,
         "smaller": Bench.smaller, "cut": Bench.cutting,
         "lossless": Bench.lossless, "formats": Bench.formats,
         "others": Bench.others}


def main():
    folder, millions, repeats = sys.argv[1], *map(int, sys.argv[2:4])
    wanted = sys.argv[4:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit("bench has no part %s; there are: %s"
                 % (unknown[0], ", ".join(PARTS)))
    torch.set_num_threads(1)
    began = time.perf_counter()
    bench = Bench(folder, millions, repeats)
    print("Model: %d tensors, %.0f million float32 parameters, %.0f MB."
          % (len(bench.weights), bench.bytes / 4e6, bench.bytes / 1e6))
    print("Against: torch %s and numpy %s, one thread; medians of %d, taken "
          "in turns." % (torch.__version__, numpy.__version__, repeats),
          flush=True)
    for part in wanted:
        PARTS[part](bench)
    bench.session.close()
    print("\nAfter %.0f s:" % (time.perf_counter() - began))
    bench.report.show()


if __name__ == "__main__":
    main()
