# Drift: distances by closed forms, references that are frozen with their versions,
# windows, thresholds, and who may see what of it.
use strict;
use warnings;

use Test::More;

use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.drift_window = 3600');
$server->on(sub {
	query('postgres', 'CREATE ROLE user_a; CREATE ROLE user_b; CREATE ROLE writer; CREATE ROLE reader IN ROLE pg_read_all_stats; CREATE ROLE loaner');
	create_database('drift');
	create_driver('drift');
	query('drift', q{
		GRANT CREATE ON SCHEMA public TO writer;
		SELECT modelopt.commit('fraud', model_agg('w', '{1}')), modelopt.commit('fraud', model_agg('w', '{2}')),
			modelopt.commit('other', model_agg('w', '{3}'));
		SELECT modelopt.grant_usage('fraud', 'user_a'), modelopt.grant_write('fraud', 'writer');
		-- 1000 amounts from 1 to 1000; ages of which each second one is null; three kinds, and two numbers in an array.
		CREATE TABLE training AS
		SELECT i AS amount, CASE WHEN i % 2 = 0 THEN i % 50 END AS age, (ARRAY['a', 'b', 'c'])[CASE WHEN i <= 600 THEN 1 WHEN i <= 900 THEN 2 ELSE 3 END] AS kind,
			ARRAY[i / 1000.0, -i]::real[] AS more, i % 10 = 0 AS label
		FROM generate_series(1, 1000) i});
});
sub on { return $server->query_on('drift', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('drift', $sql))[2] }) }

is(on('SELECT count(*) FROM modelopt.stat_drift'), '0', 'without a reference there is no drift');
is(on(q{SELECT driver.observe(1, 1, false, 1, '{1}')}), 'f', 'and nothing is looked at');
is(on(q{SELECT modelopt.set_reference('fraud#1', 'SELECT amount, age, kind, more FROM training ORDER BY amount', 'SELECT (amount - 0.5) / 1000 AS score, label::int FROM training')}), '1000', 'a reference of a query');
is(on(q{SELECT feature, kind, status, reason FROM modelopt.stat_drift ORDER BY feature COLLATE "C"}),
	join("\n", 'age|numeric|insufficient|0 rows of at least 500', 'amount|numeric|insufficient|0 rows of at least 500',
		'kind|categorical|insufficient|0 rows of at least 500', 'label|output|insufficient|0 rows of at least 500',
		'more[1]|numeric|insufficient|0 rows of at least 500', 'more[2]|numeric|insufficient|0 rows of at least 500', 'score|output|insufficient|0 rows of at least 500'), 'features by name');
is(on(q{SELECT bin, low, high, category, ref_count FROM modelopt.stat_drift_bins WHERE feature = 'amount' ORDER BY bin}),
	join("\n", (map { join '|', $_, $_ == 1 ? '' : 100 * ($_ - 1), $_ == 10 ? '' : 100 * $_, '', 100 } 1 .. 10), '11|||null|0', '12|||not finite|0', '13|||below the reference|0', '14|||above the reference|0'), 'bins of as many rows each');
is(on(q{SELECT bin, category, ref_count FROM modelopt.stat_drift_bins WHERE feature = 'kind' ORDER BY bin}), "1|a|600\n2|b|300\n3|c|100\n4|other|0\n5|null|0\n6|not finite|0", 'categories, the most frequent first');
is(on(q{SELECT bin, low, high, ref_count FROM modelopt.stat_drift_bins WHERE feature = 'score' AND bin IN (1, 2, 10) ORDER BY bin}), "1||0.1|100\n2|0.1|0.2|100\n10|0.9||100", 'probabilities in ten equal bins');
is(on(q{SELECT category, ref_count FROM modelopt.stat_drift_bins WHERE feature = 'label' AND bin < 4 ORDER BY bin}), "0|900\n1|100\nother|0", 'classes of an output');

# ---------- the same, and what is not ----------

my $observe = q{SELECT driver.observe(1, 1, false, 2, (SELECT array_agg(x ORDER BY i, n) FROM training, generate_series(1, 1000) i, LATERAL (VALUES (1, amount%s), (2, age)) v (n, x) WHERE amount = i))};
on(q{SELECT driver.observe(1, 1, false, 2, array_agg(coalesce(x, 0) ORDER BY amount, n), array_agg(x IS NULL ORDER BY amount, n))
	FROM training, LATERAL (VALUES (1, amount::float8), (2, age)) v (n, x)});
on(q{SELECT count(driver.observe_text(1, 1, 3, kind)) FROM training});
on(q{SELECT driver.observe(1, 1, true, 2, array_agg(x ORDER BY amount, n)) FROM training, LATERAL (VALUES (1, (amount - 0.5) / 1000), (2, label::int)) v (n, x)});
is(on(q{SELECT feature, n, n_null, n_out_of_range, psi, js, ks, wasserstein, linf, mean_shift, null_rate_delta, status, reason FROM modelopt.stat_drift WHERE n > 0 ORDER BY feature COLLATE "C"}),
	join("\n", 'age|1000|500|0|0|0|0|0||0|0|ok|', 'amount|1000|0|0|0|0|0|0||0|0|ok|', 'kind|1000|0|0|0|0|||0||0|ok|', 'label|1000|0|0|0|0|||0||0|ok|', 'score|1000|0|0|0|0|0|0||0|0|ok|'), 'the same rows are no drift at all');
is(on(q{SELECT features, drifted, warned, status FROM modelopt.stat_drift_summary}), '7|0|0|ok', 'nor is the whole');

on(q{SELECT modelopt.reset_drift('fraud#1')});
is(on(q{SELECT DISTINCT n, status FROM modelopt.stat_drift}), '0|insufficient', 'reset_drift forgets what was counted');
# 250 more: a quarter of all, beyond the end.
on(q{SELECT driver.observe(1, 1, false, 2, array_agg(x ORDER BY amount, n)) FROM training, LATERAL (VALUES (1, amount + 250.0), (2, 1)) v (n, x)});
is(on(q{SELECT n, n_out_of_range, out_of_range_rate, abs(ks - 0.3) < 1e-12 OR abs(ks - 0.25) < 0.051, abs(wasserstein * sqrt((1000.0 * 1000 - 1) / 12) - 250) < 1e-6,
	abs(mean_shift * sqrt((1000.0 * 1000 - 1) / 12) - 250) < 1e-6, mean_ref, mean_cur, status, reason ~ 'psi .* is at least 0.2' FROM modelopt.stat_drift WHERE feature = 'amount'}),
	'1000|250|0.25|t|t|t|500.5|750.5|drift|t', 'a shift, whose Wasserstein distance is the shift itself');
# Shares 0, 0, 0.05, 0.1, ..., 0.1, 0.35 against a tenth each, smoothed by half a row.
is(on(q{WITH q (c) AS (VALUES (0), (0), (50), (100), (100), (100), (100), (100), (100), (350))
	SELECT abs(d.psi - (SELECT sum(((c + 0.5) / 1005.0 - 100.5 / 1005) * ln((c + 0.5) / 100.5)) FROM q)) < 1e-9,
		abs(d.js - sqrt((SELECT sum(0.5 * (0.1 * log(2, 0.1 / ((0.1 + c / 1000.0) / 2)) + CASE WHEN c > 0 THEN c / 1000.0 * log(2, c / 1000.0 / ((0.1 + c / 1000.0) / 2)) ELSE 0 END)) FROM q))) < 1e-9,
		abs(d.ks - 0.25) < 1e-12
	FROM modelopt.stat_drift d WHERE feature = 'amount'}), 't|t|t', 'PSI, Jensen-Shannon and Kolmogorov-Smirnov by their definitions');
is(on(q{SELECT abs(sum(psi_part) - (SELECT psi FROM modelopt.stat_drift WHERE feature = 'amount')) < 1e-9 FROM modelopt.stat_drift_bins WHERE feature = 'amount'}), 't', 'bins tell where it is from');
# The noise of 7 features: the chi-square quantile is of nine degrees of freedom; 25.7 is a little below that of 1 - 0.01 / 7.
is(on(q{SELECT psi_noise_floor / (1.0 / 1000 + 1.0 / 1000) BETWEEN 25.7 AND 27.9 FROM modelopt.stat_drift WHERE feature = 'amount'}), 't', 'the floor of the noise');
is(on(q{SELECT status, reason FROM modelopt.stat_drift WHERE feature = 'age'}) =~ /^drift\|/ ? 1 : 0, 1, 'an age that is always the same, and never null');
like(on(q{SELECT reason FROM modelopt.stat_drift WHERE feature = 'age'}), qr/null_rate 0\.5000 is at least 0\.05/, 'nulls that are missing are a reason');

on(q{SELECT modelopt.reset_drift(); SELECT count(driver.observe_text(1, 1, 3, CASE WHEN amount <= 500 THEN 'new' ELSE kind END)) FROM training});
is(on(q{SELECT linf, status FROM modelopt.stat_drift WHERE feature = 'kind'}), '0.5|drift', 'a category that nobody knew');
is(on(q{SELECT count FROM modelopt.stat_drift_bins WHERE feature = 'kind' AND category = 'other'}), '500', 'is among the others');
on(q{SELECT modelopt.reset_drift(); SELECT driver.observe(1, 1, false, 1, array_fill('NaN'::float8, ARRAY[600])), driver.observe(1, 1, true, 2, array_agg(x)) FROM (SELECT unnest(ARRAY[0.05, 0]) x FROM generate_series(1, 600)) u});
is(on(q{SELECT n, n_out_of_range, psi, status FROM modelopt.stat_drift WHERE feature = 'amount'}), '600|600||drift', 'what is no number is out of range');
is(on(q{SELECT status FROM modelopt.stat_drift WHERE feature = 'score'}) . on(q{SELECT status FROM modelopt.stat_drift_summary}), 'driftdrift', 'an output that drifts is enough');

# A model that was made for values that are no numbers, as many are of which one of ten is missing.
on(q{SELECT modelopt.commit('missing', model_agg('w', '{1}')); SELECT modelopt.set_reference('missing', $$SELECT CASE WHEN i % 10 = 0 THEN 'NaN'::float8 ELSE i END AS x FROM generate_series(1, 1000) i$$);
	SELECT driver.observe(3, 1, false, 1, (SELECT array_agg(CASE WHEN i % 10 = 0 THEN 'NaN'::float8 ELSE i END) FROM generate_series(1, 1000) i))});
is(on(q{SELECT n, n_out_of_range, out_of_range_rate, status FROM modelopt.stat_drift WHERE model_name = 'missing'}), '1000|100|0|ok', 'what is no number as often as in the reference is no drift');
on(q{SELECT driver.observe(3, 1, false, 1, (SELECT array_agg(CASE WHEN i % 10 < 5 THEN 'NaN'::float8 ELSE i END) FROM generate_series(1, 1000) i))});
is(on(q{SELECT abs(out_of_range_rate - 0.2) < 1e-12, status FROM modelopt.stat_drift WHERE model_name = 'missing'}), 't|drift', 'more often is');
on(q{SELECT modelopt.drop('missing')});

# What was always the same, though not as sums of it round, has no standard deviation to measure in: that it moved shows all the same.
on(q{SELECT modelopt.commit('constant', model_agg('w', '{1}')); SELECT modelopt.set_reference('constant', 'SELECT 0.1 AS x FROM generate_series(1, 1000)');
	SELECT driver.observe(m.id, 1, false, 1, array_fill(5.0::float8, ARRAY[600])) FROM modelopt_private.named_model m WHERE m.name = 'constant'});
is(on(q{SELECT wasserstein, mean_shift, mean_ref, mean_cur, out_of_range_rate, status, reason FROM modelopt.stat_drift WHERE model_name = 'constant'}), '||0.1|5|1|drift|out_of_range 1.0000 is at least 0.05', 'a constant that jumps');
is(on(q{SELECT bin, low, high, category, ref_count, count FROM modelopt.stat_drift_bins WHERE model_name = 'constant' ORDER BY bin}),
	join("\n", '1|||all|1000|600', '2|||null|0|0', '3|||not finite|0|0', '4|||below the reference|0|0', '5|||above the reference|0|600'), 'bins say where to');
is(on(q{SELECT count(*) FILTER (WHERE metric = 'wasserstein'), count(*) FILTER (WHERE metric = 'out_of_range_rate') FROM modelopt.prom_drift WHERE model = 'constant'}), '0|1', 'and exporters have no distance');
is(on(q{BEGIN; SELECT modelopt.snapshot_stats() > 0; SELECT wasserstein, status FROM modelopt.stat_drift_history WHERE model_name = 'constant'; ROLLBACK}), "t\n|drift", 'nor does the history');
on(q{SELECT modelopt.drop('constant')});

# ---------- chance ----------

on(q{SELECT modelopt.reset_drift(); SELECT setseed(0.5); SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(ceil(random() * 1000)) FROM generate_series(1, 499)))});
is(on(q{SELECT n, status, reason FROM modelopt.stat_drift WHERE feature = 'amount'}), '499|insufficient|499 rows of at least 500', 'too few rows to tell');
on(q{SELECT setseed(0.5); SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(ceil(random() * 1000)) FROM generate_series(1, 501)))});
is(on(q{SELECT n, status, psi < psi_noise_floor, psi > 0 FROM modelopt.stat_drift WHERE feature = 'amount'}), '1000|ok|t|t', 'chance is below the floor');

# ---------- thresholds ----------

on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.00001, 0.00002), modelopt.set_drift_threshold('fraud', 'ks', 0, 0.0001, 'amount')});
is(on(q{SELECT status FROM modelopt.stat_drift WHERE feature = 'amount'}), 'ok', 'whatever the thresholds are');
on(q{SELECT modelopt.reset_drift(); SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(CASE WHEN i % 20 = 0 THEN i / 20 ELSE i END) FROM generate_series(1, 1000) i))});
my $default = on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', NULL, NULL), modelopt.set_drift_threshold('fraud', 'ks', NULL, NULL, 'amount'); SELECT status FROM modelopt.stat_drift WHERE feature = 'amount'});
is($default, "|\nok", 'a small shift is none by default');
on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.001, 0.5)});
is(on(q{SELECT psi > psi_noise_floor, status FROM modelopt.stat_drift WHERE feature = 'amount'}), 'f|ok', 'and below the noise it stays so');
on(q{SELECT modelopt.reset_drift(); SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(CASE WHEN i % 5 = 0 THEN i / 5 ELSE i END) FROM generate_series(1, 1000) i))});
is(on(q{SELECT psi > psi_noise_floor, psi BETWEEN 0.1 AND 0.5, status FROM modelopt.stat_drift WHERE feature = 'amount'}), 't|t|warn', 'a threshold of the model');
on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.001, 0.002, 'amount')});
is(on(q{SELECT status FROM modelopt.stat_drift WHERE feature = 'amount'}), 'drift', 'one of a feature comes first');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psy', 0.1, 0.2)}), qr/22023: unrecognized metric "psy"/, 'metrics are known');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.3, 0.2)}), qr/22023: alert must not be below warn/, 'and drift is no less than a warning');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.1)}), qr/22023: alert is missing.*HINT:  Say from where on the metric is a warning \(warn\) and from where on it is drift \(alert\)/s, 'both are said');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', alert => 0.1)}), qr/22023: warn is missing/, 'whichever is not');
is(on(q{SELECT modelopt.set_drift_threshold('fraud', 'Wasserstein', 0.5, 0.75); SELECT DISTINCT thresholds->'wasserstein' FROM modelopt.stat_drift; SELECT modelopt.set_drift_threshold('fraud', 'WASSERSTEIN')}), qq(\n{"warn": 0.5, "alert": 0.75, "source": "set"}\n), 'metrics are called so, in small letters or not');
like(fails("SELECT modelopt.$_"), qr/42704: model "fraud#1" does not exist.*HINT:  A model is meant here, without a version/s, "a version is no model: $_") for "set_drift_threshold('fraud#1', 'psi', 0.1, 0.2)", "report_html('fraud#1')";
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.1, 0.2, 'amont')}),
	qr/42704: model "fraud" has no feature "amont".*are age, amount, kind, label, more\[1\], more\[2\], score\..*HINT:  modelopt\.stat_drift has them/s, 'a feature that nobody knows');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', NULL, NULL, 'amont')}), qr/42704/, 'nor has it a threshold to forget');
like(fails(q{SELECT modelopt.set_drift_threshold('other', 'psi', 0.1, 0.2, 'amount')}), qr/42704: model "other" has no feature "amount".*No version of it has a reference/s, 'and without a reference there is none');
like(fails(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.1, 0.2, auto => true)}), qr/22023: a threshold that is found has no numbers/, 'numbers, or auto');
is(on(q{SELECT thresholds->'psi', thresholds->'ks' FROM modelopt.stat_drift WHERE feature = 'amount'}), '{"warn": 0.001, "alert": 0.002, "source": "set"}|{"warn": 0.1, "alert": 0.2, "source": "default"}', 'the view says which hold');
is(on(q{SELECT thresholds->'psi' FROM modelopt.stat_drift WHERE feature = 'age'}), '{"warn": 0.001, "alert": 0.5, "source": "set"}', 'for each feature');

# ---------- samples, and what is switched off ----------

on(q{SELECT modelopt.reset_drift(); SET modelopt.drift_sample_rate = 0.25; SELECT count(driver.observe(1, 1, false, 1, '{5}')) FROM generate_series(1, 1000)});
is(on(q{SELECT n BETWEEN 249 AND 251 FROM modelopt.stat_drift WHERE feature = 'amount'}), 't', 'a quarter of all invocations');
is(on(q{SET modelopt.drift = off; SELECT driver.observe(1, 1, false, 1, '{5}')}), 'f', 'none');

# ---------- rows that wait, to be counted together and to be shown ----------

# Each amount five times, row by row, with an age, without one, and with what is not finite; and all of them at once.
my $bins = q{SELECT bin, count FROM modelopt.stat_drift_bins WHERE feature = 'amount' ORDER BY bin};
on(q{SELECT modelopt.reset_drift();
	SELECT count(driver.observe_floats(1, 1, 2, ARRAY[amount, 7]::real[])) FROM training, generate_series(1, 3);
	SELECT count(driver.observe_floats(1, 1, CASE WHEN amount % 7 = 0 THEN 1 ELSE 2 END, CASE WHEN amount % 7 = 0 THEN ARRAY[amount::real] ELSE ARRAY[amount::real, 'Infinity'] END)) FROM training;
	SELECT driver.observe_floats(1, 1, 1, array_agg(amount::real)), driver.observe_floats(1, 1, 1, array_agg('NaN'::real)) FROM training;
	SELECT count(*) FROM modelopt.stat_drift});
is(on($bins), join("\n", (map { "$_|500" } 1 .. 10), '11|0', '12|1000', '13|0', '14|0'), 'rows that waited are all counted');
is(on(q{SELECT feature, n, n_out_of_range, mean_cur FROM modelopt.stat_drift WHERE feature IN ('age', 'amount') ORDER BY 1}),
	join("\n", 'age|3858|858|7', 'amount|6000|1000|500.5'), 'each in its column');

{
	my $predicting = $server->on(sub { Session->new('drift') });
	my $shown = q{SELECT n FROM modelopt.stat_drift WHERE feature = 'amount'};
	on('SELECT modelopt.reset_drift()');
	for my $n (1 .. 3)
	{
		$predicting->run('SELECT pg_sleep(1)') if $n > 1;
		$predicting->run('SELECT driver.observe_floats(1, 1, 1, ARRAY[5::real])');
		is(on($shown), $n, "row $n is shown when its transaction ends, to others");
	}
	$predicting->quit;
	on(q{SELECT modelopt.reset_stats('fraud')});
}

# ---------- references ----------

like(fails(q{SELECT modelopt.set_reference('fraud#1', 'SELECT 1 AS x')}), qr/42710: version "fraud#1" has a reference/, 'a reference is frozen');
for my $case (
	['SELECT FROM training', qr/22023: a reference has at least one feature/], ['SELECT 1 AS x WHERE false', qr/22023: the query of a reference gave no rows/],
	['TRUNCATE training', qr/22023: the query of a reference must give rows/], ['DELETE FROM training RETURNING amount', qr/0A000|22023/],
	['SELECT 1; SELECT 2', qr/22023/], [q{SELECT '{1,2}'::int[] UNION ALL SELECT '{1}'}, qr/2202E: arrays of column "int4" have different lengths/],
	['SELECT nothing', qr/42703/], ['SELECT array_fill(1, ARRAY[300])', qr/54000: 300 features are too many/])
{
	my ($query, $error) = @$case;
	like(fails("SELECT modelopt.set_reference('fraud#2', \$q\$$query\$q\$)"), $error, "refused: $query");
}
is(on('SELECT count(*) FROM training'), '1000', 'nothing was changed');
my $session = $server->on(sub { Session->new('drift') });
is($session->run(q{SELECT driver.observe(1, 2, false, 1, '{1}')}), 'f', 'a session that has seen no reference');
on(q{SELECT modelopt.set_reference('fraud#2', 'SELECT amount FROM training')});
is($session->run(q{SELECT driver.observe(1, 2, false, 1, '{1}')}), 't', 'sees one that is made');
on(q{SELECT modelopt.drop_reference('fraud#2')});
is($session->run(q{SELECT driver.observe(1, 2, false, 1, '{1}')}), 'f', 'and that it is dropped');
is($session->run(q{BEGIN; SELECT modelopt.set_reference('fraud#2', 'SELECT amount FROM training'); SELECT driver.observe(1, 2, false, 1, '{1}'); ROLLBACK; SELECT driver.observe(1, 2, false, 1, '{1}')}), "1000\nt\nf", 'and its own, until it is rolled back');
$session->quit;
like(fails(q{SELECT modelopt.drop_reference('fraud#2')}), qr/42704: version "fraud#2" has no reference/, 'there is none to drop');
my $slots = on('SELECT drift_features FROM modelopt.stat_info');
on(q{SELECT modelopt.set_reference('fraud#2', 'SELECT amount FROM training'); SELECT driver.observe(1, 2, false, 1, '{1}'); SELECT modelopt.drop_reference('fraud#2')}) for 1 .. 5;
cmp_ok(on('SELECT drift_features FROM modelopt.stat_info'), '<=', $slots + 1, 'what is dropped takes no room');

# What an owner brings from elsewhere must not break the views of others.
on(q{CREATE TABLE profiled AS SELECT to_jsonb(p) AS feature FROM modelopt.profile('SELECT amount FROM training') p});
for my $case (
	[q{jsonb_set(feature, '{counts,0}', '-1')}, 'a negative count'], [q{jsonb_set(feature, '{counts,0}', 'null')}, 'no count'],
	[q{jsonb_set(feature, '{counts,0}', '9000000000000000000')}, 'a count of more than there can be'], [q{jsonb_set(feature, '{sums,0}', 'null')}, 'no sum'],
	[q{jsonb_set(feature, '{edges,0}', 'null')}, 'no edge'], [q{jsonb_set(feature, '{edges,0}', '"NaN"')}, 'an edge that is no number'],
	[q{jsonb_set(feature, '{edges,0}', '"Infinity"')}, 'an edge without end'], [q{feature - 'name'}, 'no name'], [q{feature - 'counts'}, 'no counts'],
	[q{jsonb_set(feature, '{categories}', '["a"]')}, 'categories of a number'], [q{jsonb_set(feature, '{number}', '0')}, 'no number of a feature'],
	[q{jsonb_set(feature, '{counts}', (SELECT jsonb_agg(jsonb_build_array(c)) FROM jsonb_array_elements(feature->'counts') c))}, 'counts of two dimensions'])
{
	my ($damaged, $what) = @$case;
	like(fails("SELECT modelopt.put_reference('fraud#2', jsonb_build_array($damaged)) FROM profiled"), qr/22023: features of a reference are not as modelopt\.profile\(\) makes them.*DETAIL/s, "refused: $what");
}
like(fails("SELECT modelopt.put_reference('fraud#2', jsonb_build_array(feature, feature)) FROM profiled"), qr/22023/, 'refused: a feature twice');
is(on(q{SELECT modelopt.put_reference('fraud#2', jsonb_build_array(jsonb_set(jsonb_set(feature, '{deviation}', '1e-300'), '{mean}', '-1e308'))) FROM profiled}), '1000', 'one of extreme numbers');
on(q{SELECT driver.observe(1, 2, false, 1, array_fill(1e308, ARRAY[600]))});
is(on(q{SELECT n, mean_cur, mean_shift, status FROM modelopt.stat_drift WHERE version = 2}), '600|Infinity|Infinity|drift', 'is beyond everything and no error');
is(on(q{SELECT count(*) > 0 FROM modelopt.prom_drift}), 't', 'nor for exporters');
on(q{SELECT modelopt.drop_reference('fraud#2')});

# Whoever makes a reference frees what is counted for others that are gone: those that only look so to him must not suffer.
on(q{SELECT modelopt.set_reference('fraud#2', 'SELECT amount FROM training')});
$session = $server->on(sub { Session->new('drift') });
$session->run(q{SELECT driver.observe(1, 2, false, 1, array_fill(1::float8, ARRAY[100]))});
on(q{BEGIN; SELECT modelopt.drop_reference('fraud#2'); SELECT modelopt.set_reference('fraud#2', 'SELECT amount FROM training'); ROLLBACK});
$session->run(q{SELECT driver.observe(1, 2, false, 1, array_fill(1::float8, ARRAY[100]))});
is(on(q{SELECT n >= 100 FROM modelopt.stat_drift WHERE version = 2}), 't', 'a reference whose place was taken by what was rolled back is counted again');
$session->quit;
on(q{SELECT modelopt.drop_reference('fraud#2')});

# ---------- from serving ----------

like(fails(qq{SELECT modelopt.set_reference_from_serving('fraud#2', $_)}), qr/22023: a reference from serving takes at least 100 rows, and at most a million/, "$_ rows are refused") for 99, 1000001, 2147483647;
is(on(q{SELECT modelopt.set_reference_from_serving('fraud#2', 1000000)}), '0', 'more than there is room for');
$server->on(sub { query('postgres', 'SELECT 1 AS x') });
on(q{SELECT count(driver.observe(1, 2, false, 1, (SELECT array_agg(i) FROM generate_series(1, 10000) i))) FROM generate_series(1, 30)});
like(on(q{SELECT modelopt.set_reference_from_serving('fraud#2')}), qr/^(0|300000)$/, 'is collected, or has no place and harms nobody');
on(q{SELECT modelopt.drop_reference('fraud#2')});

is(on(q{SELECT modelopt.set_reference_from_serving('fraud#2', 1000)}), '0', 'what is served is collected');
is(on(q{SELECT status, reason FROM modelopt.stat_drift WHERE version = 2}), 'no_reference|1000 rows are being collected', 'which the view says');
on(q{SELECT driver.observe(1, 2, false, 2, (SELECT array_agg(v ORDER BY i, n) FROM generate_series(1, 600) i, LATERAL (VALUES (1, i::float8), (2, i % 3)) x (n, v))), driver.observe(1, 2, true, 1, (SELECT array_agg(i % 2) FROM generate_series(1, 600) i))});
is(on(q{SELECT modelopt.set_reference_from_serving('fraud#2', 1000)}), '600', 'so many have come');
on(q{SELECT driver.observe(1, 2, false, 2, (SELECT array_agg(v ORDER BY i, n) FROM generate_series(601, 1500) i, LATERAL (VALUES (1, i::float8), (2, i % 3)) x (n, v))), driver.observe(1, 2, true, 1, (SELECT array_agg(i % 2) FROM generate_series(601, 1500) i))});
is(on(q{SELECT modelopt.set_reference_from_serving('fraud#2', 1000)}), '1000', 'and as many as were wanted');
is(on(q{SELECT feature, sum(ref_count) FROM modelopt.stat_drift_bins WHERE version = 2 GROUP BY 1 ORDER BY 1}), "input1|1000\ninput2|1000\noutput1|1000", 'which are the reference now');
is(on(q{SELECT high, ref_count FROM modelopt.stat_drift_bins WHERE version = 2 AND feature = 'input1' AND bin IN (1, 5)}), "100|100\n500|100", 'of the first that were served');
on(q{SELECT driver.observe(1, 2, false, 2, (SELECT array_agg(v ORDER BY i, n) FROM generate_series(1, 1000) i, LATERAL (VALUES (1, i::float8), (2, i % 3)) x (n, v)))});
is(on(q{SELECT feature, psi, status, reference_kind FROM modelopt.stat_drift WHERE version = 2 AND n > 0 ORDER BY 1}), "input1|0|ok|serving\ninput2|0|ok|serving", 'and what is compared with');
is(on(q{SELECT model_name, version, source, rows, wanted_rows IS NULL FROM modelopt.stat_references ORDER BY version}), "fraud|1|training|1000|t\nfraud|2|serving|1000|t", 'where references are from');

# ---------- who may ----------

is(on("SET ROLE user_a; SELECT count(DISTINCT version) FROM modelopt.stat_drift"), '2', 'who may use the model sees its drift');
is(on("SET ROLE user_b; SELECT (SELECT count(*) FROM modelopt.stat_drift) + (SELECT count(*) FROM modelopt.stat_drift_bins) + (SELECT count(*) FROM modelopt.stat_references) + (SELECT count(*) FROM modelopt.prom_drift)"), '0', 'others see nothing');
is(on("SET ROLE reader; SELECT count(DISTINCT version) FROM modelopt.stat_drift"), '2', 'but for those who read all statistics');
# Edges are quantiles of the training data and categories are values of it.
is(on("SET ROLE user_a; SELECT (SELECT count(*) FROM modelopt.stat_drift_bins), (SELECT count(*) FROM modelopt.stat_references), (SELECT count(query) FROM modelopt.stat_references)"), '0|2|0', 'who only uses the model sees no values of what it was made of');
is(on("SET ROLE $_; SELECT count(DISTINCT version) FROM modelopt.stat_drift_bins"), '2', "a $_ sees them") for 'writer', 'reader';
is(on("SET ROLE writer; SELECT count(query) FROM modelopt.stat_references"), '1', 'and the query');
is(on("SELECT modelopt.grant_read('fraud', 'user_a'); SET ROLE user_a; SELECT count(DISTINCT version), (SELECT count(query) FROM modelopt.stat_references) FROM modelopt.stat_drift_bins"), "\n2|1", 'who may read the weights does too');
like(fails("SET ROLE user_a; SELECT modelopt.$_"), qr/42501/, "a user may not $_") for "set_reference('fraud#1', 'SELECT 1 AS x')", "drop_reference('fraud#1')", "set_reference_from_serving('fraud#1')",
	"set_drift_threshold('fraud', 'psi', 0, 1)", "reset_drift('fraud#1')", "reset_drift()", "snapshot_stats()", "put_reference('fraud#1', '[]')";

# The query is its caller's: not the owner's of the repository, and not in a way that it could become that.
like(fails(q{SET ROLE writer; SELECT modelopt.set_reference('fraud#1', 'SELECT amount FROM training')}), qr/42501: permission denied for table training/, 'a query runs as its caller');
like(fails(q{SET ROLE writer; SELECT modelopt.set_reference('fraud#1', 'SELECT id FROM modelopt_private.named_model')}), qr/42501: permission denied for schema modelopt_private/, 'who may not read the repository');
is(on(q{SET ROLE writer; CREATE FUNCTION whoami() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'I am %', current_user; RETURN CASE current_user WHEN 'writer' THEN 1 ELSE 0 END; END $$;
	SELECT modelopt.drop_reference('fraud#1'); SELECT modelopt.set_reference('fraud#1', 'SELECT whoami() FROM generate_series(1, 100)', 'SELECT whoami()')}), "\n100", 'nor are functions in it anybody else');
is(on(q{SELECT DISTINCT feature, mean_ref FROM modelopt.stat_drift WHERE version = 1 AND mean_ref IS NOT NULL}), 'whoami|1', 'in all of it');
on(q{GRANT SELECT ON training TO loaner; SET ROLE loaner; CREATE TEMP TABLE t (i int)});
is(on(q{SET ROLE writer; SET search_path = pg_temp, public; CREATE FUNCTION pg_temp.jsonb_agg(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT ''[]''::jsonb';
	SELECT modelopt.drop_reference('fraud#1'); SELECT modelopt.set_reference('fraud#1', 'SELECT whoami() FROM generate_series(1, 70)')}), "\n70", 'whatever the search_path has');

# ---------- kept for good ----------

on(q{SELECT modelopt.drop_reference('fraud#1'); SELECT modelopt.set_reference('fraud#1', 'SELECT amount FROM training');
	SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(i) FROM generate_series(1, 1000) i)); SELECT driver.call(1, 1, 1, 1000000)});
is(on('SELECT modelopt.snapshot_stats()'), '4', 'a snapshot');
is(on(q{SELECT model_name, version, calls FROM modelopt.stat_history}), 'fraud|1|1', 'of statistics');
is(on(q{SELECT version, feature, n, psi, status FROM modelopt.stat_drift_history ORDER BY 1, 2}), "1|amount|1000|0|ok\n2|input1|1000|0|ok\n2|input2|1000|0|ok", 'and of drift');
on('SELECT driver.call(1, 1, 1, 1000000); SELECT modelopt.snapshot_stats()');
is(on(q{SELECT string_agg(calls::text, ' ' ORDER BY taken_at) FROM modelopt.stat_history}), '1 2', 'totals, whose differences are what happened');
is(on(q{SET ROLE user_b; SELECT (SELECT count(*) FROM modelopt.stat_history) + (SELECT count(*) FROM modelopt.stat_drift_history)}), '0', 'not for everybody');
on(q{SELECT modelopt.snapshot_stats(keep => '0 s')});
is(on(q{SELECT count(DISTINCT taken_at) FROM modelopt.stat_history}), '1', 'what is old goes');

# ---------- windows ----------

$server->configure('modelopt.drift_window = 1', 'modelopt.drift_min_rows = 5', 'modelopt.drift_windows = 8');
$server->halt;
$server->start;
my $count = q{SELECT coalesce(max(n), 0) FROM modelopt.stat_drift WHERE version = 1};
is(on($count), '0', 'windows of another length begin anew');
on(q{SELECT driver.observe(1, 1, false, 1, '{1,2,3}')});
is(on($count), '3', 'the current window');
on(q{SELECT pg_sleep(1.05); SELECT driver.observe(1, 1, false, 1, '{1,2,3}')});
is(on($count), '6', 'and the one before it, when it takes both');
on(q{SELECT pg_sleep(1.05); SELECT driver.observe(1, 1, false, 1, '{1,2,3,4,5,6,7}')});
is(on($count), '7', 'but not when it does not');
is(on(q{SELECT window_end - window_start < interval '5 s', window_end > window_start FROM modelopt.stat_drift WHERE version = 1}), 't|t', 'which the view says');
on('SELECT pg_sleep(9.1)');
is(on($count), '0', 'what is older than all windows is forgotten');

# The oldest windows of so many, so long ones began before the year 2000.
$server->configure('modelopt.drift_window = 2592000', 'modelopt.drift_windows = 1000', 'modelopt.drift_memory = 65536');
$server->halt;
$server->start;
on(q{SELECT driver.observe(1, 1, false, 1, '{1,2,3}')}) for 1 .. 2;
is(on($count), '6', 'windows from before the epoch');
is(on(q{SELECT count(*) FROM modelopt.stat_drift_bins WHERE version = 1 AND count > 3}), '1', 'of which none is another');
is(on(q{SET modelopt.drift_min_rows = 100; SELECT n, window_start < '2000-01-01' FROM modelopt.stat_drift WHERE version = 1}), '6|t', 'are windows as others are');

# A database that is dropped leaves no counts for good.
$server->on(sub { create_database('gone'); create_driver('gone') });
$server->query_on('gone', q{SELECT modelopt.commit('m', model_agg('w', '{1}')); SELECT modelopt.set_reference('m', 'SELECT i FROM generate_series(1, 100) i'); SELECT driver.observe(1, 1, false, 1, '{1}')});
$slots = on('SELECT drift_features FROM modelopt.stat_info');
$server->query_on('postgres', 'DROP DATABASE gone');
on(q{SELECT modelopt.set_reference('other', 'SELECT 1 AS i'); SELECT modelopt.drop_reference('other')});
cmp_ok(on('SELECT drift_features FROM modelopt.stat_info'), '<', $slots, 'what a dropped database counted is gone with the next reference');

# ---------- no room ----------

$server->configure('modelopt.drift_memory = 256', 'modelopt.drift_windows = 8');
$server->halt;
$server->start;
on(q{SELECT modelopt.set_reference('other', 'SELECT ' || string_agg('i % 7 AS f' || n, ', ') || ' FROM generate_series(1, 100) i') FROM generate_series(1, 250) n});
on(q{SELECT driver.observe(2, 1, false, 250, array_fill(1::float8, ARRAY[2500]))});
is(on('SELECT drift_dropped > 0, drift_pages = drift_max_pages, drift_features > 0 FROM modelopt.stat_info'), 't|t|t', 'what has no room is not looked at, and counted');
my $dropped = on('SELECT drift_dropped FROM modelopt.stat_info');
$server->halt;
$server->start;
is(on('SELECT drift_dropped FROM modelopt.stat_info'), $dropped, 'which a restart keeps, as it does what else was lost');
on(q{SELECT modelopt.reset_drift(), modelopt.reset_stats('fraud'), modelopt.reset_stats(minmax_only => true)});
is(on('SELECT drift_dropped FROM modelopt.stat_info'), $dropped, 'it is no count of a feature or model');
on(q{SELECT modelopt.reset_stats()});
is(on('SELECT drift_dropped, dropped FROM modelopt.stat_info'), '0|0', 'and goes with everything');

done_testing();
