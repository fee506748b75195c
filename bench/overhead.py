"""
overhead.py REPEATS

What counting takes from predictions: transactions a second of pgbench on the
server that libpq's environment names, which has modelopt preloaded, with nothing
counted, with everything counted, and with everything compared with a reference.

Sessions stay as they are while the settings change under them, a second each, so
that what is compared is never more than three seconds apart; what is reported is
the median of the ratios within each such round.  On a machine that others use too,
transactions a second tell of them; the time that the backends ran for one does
not, so goals are for that.
"""
import re
import statistics
import subprocess
import sys
import tempfile

import harness

CLIENTS = (1, 2, 8)
ROUNDS = 4              # for each of the repeats
CALLS = 1000            # of a transaction that predicts often

# How many inputs there are, and nodes of hidden layers: as little as a model can
# do, and about ten microseconds of arithmetic.
MODELS = {"tiny": (4,), "ten": (16, 288, 288)}
GOALS = {"tiny": 10, "ten": 2}          # percent, of counting

WAYS = {"off": ("none", "off"), "on": ("top", "off"), "on, with drift": ("top", "on")}


def make_model(session, name):
    """Commits a perceptron, with a reference of what it will be given."""
    widths = MODELS[name] + (1,)
    layers = []
    for i, (taken, given) in enumerate(zip(widths, widths[1:]), 1):
        layers.append("SELECT 'layer%d.weight' AS name, array_agg(row ORDER BY r) AS data FROM (SELECT r,"
                      " array_agg((((r * 7 + c * 5) %% 17 - 8) / 50.0)::real ORDER BY c) AS row"
                      " FROM generate_series(1, %d) r, generate_series(1, %d) c GROUP BY r) w"
                      % (i, given, taken))
    graph = " relu ".join("layer%d:linear" % i for i in range(1, len(widths)))
    inputs = "ARRAY[%s]::real[]" % ", ".join("sin(i * %d)" % (7919 + j) for j in range(widths[0]))
    session.run("SELECT modelopt.commit('%s', set_graph((SELECT model_agg(name, data ORDER BY name) FROM (%s) l), '%s'));"
                % (name, " UNION ALL ".join(layers), graph))
    session.run("SELECT modelopt.set_reference('{0}', 'SELECT {1} AS x FROM generate_series(1, 10000) i',"
                " $$SELECT predict('{0}', {1}) AS y FROM generate_series(1, 10000) i$$);".format(name, inputs))


def runtime_share(session, name):
    """Microseconds that the runtime takes of a prediction, and all of it."""
    session.run("SELECT modelopt.reset_stats();")
    session.run(script(name, 50000))
    return map(float, session.run("SELECT infer_time * 1000 / calls, mean_time * 1000 FROM modelopt.stat_summary"
                                  " WHERE model_name = '%s';" % name).split("|"))


def script(name, calls):
    values = ", ".join(["0.5"] * (MODELS[name][0] - 1))
    if calls == 1:
        return "\\set x random(1, 1000)\nSELECT predict('%s', ARRAY[%s, :x]::real[]);\n" % (name, values)
    return ("SELECT sum((predict('%s', ARRAY[%s, i]::real[]))[1]) FROM generate_series(1, %d) i;\n"
            % (name, values, calls))


def set_way(session, way):
    track, drift = WAYS[way]
    session.run("ALTER SYSTEM SET modelopt.track = '%s'; ALTER SYSTEM SET modelopt.drift = '%s';"
                " SELECT pg_reload_conf();" % (track, drift))


def cpu(pids):
    """Seconds that processes have run for."""
    ns = 0
    for pid in pids:
        with open("/proc/%s/schedstat" % pid) as times:
            ns += int(times.read().split()[0])
    return ns / 1e9


def turning(rounds):
    """The ways, as often as there are rounds, each time in another order."""
    ways = list(WAYS)
    return [ways[(i + i // 3) % 3] for i in range(3 * rounds)]


def by_round(order, measured):
    return [dict(zip(order[i:i + 3], measured[i:i + 3])) for i in range(0, len(order), 3)]


def pgbench(session, name, clients, rounds):
    """For each round and way, transactions a second and the time that a backend
    runs for one."""
    order = turning(rounds)
    measured = []
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script(name, 1))
        file.flush()
        bench = subprocess.Popen(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)),
             "-T", str(len(order) + 3), "-P", "1", "-f", file.name],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True)
        pids, before, seconds = [], 0, 0
        for line in bench.stderr:
            found = re.match(r"progress: ([0-9.]+) s, ([0-9.]+) tps", line)
            if not found or len(measured) > len(order):
                continue
            # The first second is that of sessions that begin.
            pids = pids or session.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench';").split()
            now, until, rate = cpu(pids), float(found.group(1)), float(found.group(2))
            measured.append((rate, (now - before) / max(rate * (until - seconds), 1)))
            if len(measured) <= len(order):
                set_way(session, order[len(measured) - 1])
            before, seconds = cpu(pids), until
        if bench.wait():
            raise SystemExit("pgbench failed")
    return by_round(order, measured[1:])


def lost(taken, way, value):
    """How much less of something there is than with the first way, in percent;
    median and quartiles."""
    losses = [100 * (1 - value(one[way]) / value(one["off"])) for one in taken]
    return statistics.quantiles(losses, n=4)


def put(name, calls, clients, rate, throughput, counting, drift):
    verdict = "met" if counting[1] < GOALS[name] else "MISSED"
    print("%-5s %5d %8d %9.0f  %12s  %5.1f %% (%5.1f to %5.1f)  %5.1f %% (%5.1f to %5.1f)  < %2d %%  %s"
          % (name, calls, clients, rate, throughput, counting[1], counting[0], counting[2],
             drift[1], drift[0], drift[2], GOALS[name], verdict), flush=True)


def compare_transactions(session, name, clients, rounds):
    taken = pgbench(session, name, clients, rounds)
    put(name, 1, clients, statistics.median(one["off"][0] for one in taken),
        "%.1f, %.1f %%" % tuple(lost(taken, way, lambda m: m[0])[1] for way in list(WAYS)[1:]),
        *(lost(taken, way, lambda m: 1 / m[1]) for way in list(WAYS)[1:]))


def compare_calls(session, name, rounds):
    """Predictions of one statement, which turn every few milliseconds."""
    statement = script(name, CALLS)
    order = turning(20 * rounds)
    measured = []
    session.run(statement)
    for way in order:
        session.run("SET modelopt.track = '%s'; SET modelopt.drift = '%s';" % WAYS[way])
        before = cpu([session.pid])
        session.run(statement)
        measured.append(cpu([session.pid]) - before)
    session.run("RESET modelopt.track; RESET modelopt.drift;")
    taken = by_round(order, measured)
    put(name, CALLS, 1, 1 / statistics.median(one["off"] for one in taken), "",
        *(lost(taken, way, lambda m: 1 / m) for way in list(WAYS)[1:]))


def main():
    rounds = ROUNDS * int(sys.argv[1])
    session = harness.Session()
    session.run("ALTER SYSTEM SET modelopt.run_mode = 'inprocess'; SELECT pg_reload_conf();")
    session.run("SELECT pg_sleep(0.2);")
    for name in MODELS:
        make_model(session, name)
        infer, whole = runtime_share(session, name)
        print("%-5s %.1f us in the runtime, %.1f us a prediction as counted" % (name, infer, whole))
    print("model calls  clients    tx a s      tx a s less  run time: counting (quartiles)  and drift (quartiles)   goal\n"
          "         each            off      on, and drift")
    for name in MODELS:
        compare_calls(session, name, rounds)
        for clients in CLIENTS:
            compare_transactions(session, name, clients, rounds)
    set_way(session, "on, with drift")


main()
