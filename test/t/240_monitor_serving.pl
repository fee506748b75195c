# What is served is what is counted: models that run, by name and as values, row
# by row, in batches and in workers.
use strict;
use warnings;

use Test::More;

use FindBin;
use MIME::Base64 qw(encode_base64);
use Server;
use Session qw(create_database query run_sql);

plan skip_all => 'there is no ONNX Runtime' unless $ENV{ONNXRUNTIME_LIBRARY};

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.drift_min_rows = 50');
my $data = "$FindBin::RealBin/../data";
sub slurp { my ($name) = @_; open my $file, '<:raw', "$data/$name" or die $!; local $/ = undef; return readline $file }
my $mlp = encode_base64(slurp('digits_mlp.onnx'), '');
my @digits = grep { !/^label/ } split /\n/, slurp('digits_test.csv');
$server->on(sub {
	create_database('served');
	query('served', "CREATE TABLE zoo AS SELECT model_read(decode('$mlp', 'base64')) AS m");
	query('served', 'CREATE TABLE lines (line text); COPY lines FROM STDIN DELIMITER E\'\x01\';' . "\n" . join("\n", @digits) . "\n\\.\n");
	query('served', q{
		CREATE TABLE digits AS SELECT row_number() OVER () AS id, n[1]::int AS label, n[2:]::real[] AS pixels FROM (SELECT string_to_array(line, ',') FROM lines) v (n);
		ANALYZE digits;
		SELECT modelopt.commit('digits', m) FROM zoo;
		SELECT modelopt.set_reference('digits#1', 'SELECT pixels FROM digits', $$SELECT predict('digits#1', pixels) FROM digits$$);
		SELECT modelopt.reset_stats()});
});
my $rows = @digits;
cmp_ok($rows, '>=', 100, 'digits to look at');
sub on { return $server->query_on('served', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('served', $sql))[2] }) }
my $digits = q{FROM modelopt.stat_models WHERE model_name = 'digits'};

on(q{SELECT predict('digits', pixels) FROM digits});
is(on("SELECT calls, rows, errors, version, runtime $digits"), "$rows|$rows|0|1|runner", 'an invocation of each row');
is(on("SELECT batches = calls, cache_lookups - cache_hits < 2, cache_lookups > 0, input_bytes >= 4 * 64 * rows, output_bytes >= 40 * rows, model_bytes_read > 1000 $digits"), 't|t|t|t|t|t', 'runs, sessions and bytes');
is(on("SELECT min_time > 0, min_time <= p50_time, p50_time <= p99_time, p99_time <= max_time, load_time + prepare_time + infer_time <= total_time * 1.000001, infer_time > 0 $digits"), 't|t|t|t|t|t', 'times and phases');
is(on(q{SELECT features, drifted, status FROM modelopt.stat_drift_summary}), '74|0|ok', 'inputs and outputs are compared with the reference');
is(on(q{SELECT DISTINCT n, psi, ks, null_rate_delta FROM modelopt.stat_drift WHERE feature LIKE 'pixels%'}), "$rows|0|0|0", 'and every input is where it was');
is(on(q{SELECT count(*), sum(n), max(psi) FROM modelopt.stat_drift WHERE kind = 'output'}), '10|' . 10 * $rows . '|0', 'and every output');

on(q{SELECT modelopt.reset_stats(), modelopt.reset_drift(); SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', batch_size => 100)});
is(on("SELECT calls, rows, batches $digits"), "1|$rows|" . int(($rows + 99) / 100), 'predict_rows is one invocation, of as many batches as it takes');
is(on(q{SELECT DISTINCT n, psi FROM modelopt.stat_drift WHERE feature LIKE 'pixels%'}), "$rows|0", 'whose rows are compared too');

on(q{SELECT modelopt.reset_stats(), modelopt.reset_drift(); SELECT predict('digits', ARRAY(SELECT NULL::real FROM generate_series(1, 64))), predict('digits', pixels) FROM digits});
is(on("SELECT null_inputs, rows, calls $digits"), join('|', $rows, $rows, 2 * $rows), 'rows with nulls are no predictions');
like(on(q{SELECT DISTINCT round(null_rate_delta::numeric, 3) FROM modelopt.stat_drift WHERE feature LIKE 'pixels%'}), qr/^0\.500$/, 'and the drift view has them');

# A feed that goes null is seen, whatever it is read with: half of the rows are null, one way or another.
my $feed = q{(SELECT id, CASE id % 4 WHEN 0 THEN NULL::real[] WHEN 2 THEN array_fill(NULL::real, ARRAY[64]) ELSE pixels END AS pixels FROM digits) feed};
my $nulls = on(q{SELECT count(*) FROM digits WHERE id % 2 = 0});
for my $path ([predict => "SELECT predict('digits', pixels) FROM $feed"],
	[predict_rows => "SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM $feed', batch_size => 64)"],
	[predict_batch => "SELECT predict_batch('digits', pixels) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 31 FOLLOWING) FROM $feed"]) {
	on("SELECT modelopt.reset_stats(), modelopt.reset_drift(); $path->[1]");
	is(on("SELECT null_inputs, rows $digits"), "$nulls|" . ($rows - $nulls), "$path->[0] counts rows with nulls");
	is(on(q{SELECT DISTINCT n, n_null, status, reason ~ 'null_rate' FROM modelopt.stat_drift WHERE feature LIKE 'pixels%'}), "$rows|$nulls|drift|t", 'and they drift');
}
on(q{SELECT modelopt.reset_drift(); SELECT predict_batch('digits', NULL::real[]) OVER (ROWS BETWEEN CURRENT ROW AND 31 FOLLOWING), predict_batch(NULL::text, pixels) OVER (ROWS BETWEEN CURRENT ROW AND 31 FOLLOWING) FROM digits});
is(on(q{SELECT DISTINCT n, n_null FROM modelopt.stat_drift WHERE feature LIKE 'pixels%'}), "$rows|$rows", 'of nothing but nulls too');

on('SELECT modelopt.reset_stats()');
like(fails(q{SELECT predict('digits', '{1,2,3}'::real[])}), qr/22023/, 'rows that do not fit');
is(on("SELECT calls, errors, errors_input $digits"), '0|1|1', 'are errors of the input');
on(q{SELECT predict(m, pixels) FROM zoo, digits LIMIT 7});
is(on('SELECT calls, rows, model_name IS NULL FROM modelopt.stat_models WHERE model_id = 0'), '7|7|t', 'models that are values are counted together');
is(on(q{SET modelopt.track = none; SELECT count(predict('digits', pixels)) FROM digits}), $rows, 'track = none');
is(on("SELECT calls $digits"), '0', 'counts nothing');

# Texts are categories.
my $texts = encode_base64(slurp('texts.onnx'), '');
on(qq{SELECT modelopt.commit('texts', model_read(decode('$texts', 'base64')));
	CREATE TABLE words AS SELECT i AS id, CASE WHEN i % 4 = 0 THEN 'ham' ELSE 'spam' END AS word FROM generate_series(1, 100) i;
	SELECT modelopt.set_reference('texts#1', 'SELECT word FROM words')});
is(on(q{SELECT count(*), min(p #>> '{same,0,0}'), max(p #>> '{same,0,0}') FROM words, predict_json('texts', jsonb_build_array(jsonb_build_array(word))) p}),
	'100|ham|spam', 'texts are predicted where there is a reference');
is(on(q{SELECT n, psi, linf FROM modelopt.stat_drift WHERE model_name = 'texts' AND kind <> 'output'}), '100|0|0', 'and are where they were');

# Several inputs by name, in another order than the model has them: what is served is compared with
# the reference's column of that name, and a reference from serving is called like the inputs.
my $columns = encode_base64(slurp('columns.onnx'), '');
on(qq{SELECT modelopt.commit('columns', model_read(decode('$columns', 'base64')));
	CREATE TABLE people AS SELECT i AS id, i AS age, i * 2.5 AS "Amount", CASE WHEN i % 4 = 0 THEN 'ham' ELSE 'spam' END AS word, ARRAY[-i, i % 7, i % 2]::real[] AS pixels FROM generate_series(1, 200) i;
	SELECT modelopt.set_reference('columns#1', 'SELECT pixels, word, age, "Amount" FROM people', 'SELECT "Amount"::bigint AS whole FROM people')});
my $predict = q{SELECT count(*) FROM predict_rows('columns', 'SELECT id, word, pixels, "Amount", age FROM people', output => 'scores')};
on($predict);
is(on(q{SELECT feature, port, position, n, psi FROM modelopt.stat_drift WHERE model_name = 'columns' ORDER BY feature COLLATE "C"}),
	join("\n", 'Amount|Amount|1|200|0', 'age|age|1|200|0', 'pixels[1]|pixels|1|200|0', 'pixels[2]|pixels|2|200|0', 'pixels[3]|pixels|3|200|0', 'whole|whole|1|200|0', 'word|word|1|200|0'), 'inputs and outputs by name');
on(q{SELECT modelopt.reset_drift('columns');
	SELECT count(*) FROM predict_rows('columns', $$SELECT id, CASE WHEN id > 60 THEN word END AS word, CASE WHEN id > 70 THEN pixels END AS pixels, "Amount", CASE WHEN id > 50 THEN age END AS age FROM people$$, output => 'scores')});
is(on(q{SELECT string_agg(feature || ' ' || n_null || '/' || n, ', ' ORDER BY port COLLATE "C", position) FROM modelopt.stat_drift WHERE model_name = 'columns' AND kind <> 'output'}),
	'Amount 0/200, age 50/200, pixels[1] 70/200, pixels[2] 70/200, pixels[3] 70/200, word 60/200', 'nulls of each column are its own, texts and arrays that are null too');
on(qq{SELECT modelopt.drop_reference('columns'); SELECT modelopt.set_reference_from_serving('columns', 200); $predict});
is(on(q{SELECT modelopt.set_reference_from_serving('columns')}), '200', 'a reference from serving');
on($predict);
is(on(q{SELECT feature, kind, n, psi FROM modelopt.stat_drift WHERE model_name = 'columns' ORDER BY kind, feature COLLATE "C"}),
	join("\n", 'word|categorical|200|0', 'Amount|numeric|200|0', 'age|numeric|200|0', (map { "pixels[$_]|numeric|200|0" } 1 .. 3), 'same|output|200|0', (map { "scores[$_]|output|200|0" } 1 .. 4), 'whole|output|200|0'),
	'has all inputs and outputs, texts too');
is(on(q{SELECT string_agg(category || ' ' || ref_count, ', ' ORDER BY bin) FROM modelopt.stat_drift_bins WHERE model_name = 'columns' AND feature = 'same'}), 'spam 150, ham 50, other 0, null 0, not finite 0', 'as they were');

on(q{SELECT modelopt.reset_stats(); ALTER TABLE digits SET (parallel_workers = 2)});
my $parallel = q{SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;};
like(on("$parallel EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT sum((predict('digits', pixels))[1]) FROM digits"), qr/Workers Launched: [12]/, 'workers predict');
is(on("SELECT sum(rows), sum(calls) $digits"), "$rows|$rows", 'and all rows are counted');

# A version that follows has no reference until somebody gives it one, which the view says as long as it is served.
on(q{SELECT modelopt.commit('digits', prune(m, 0.5)) FROM zoo; SELECT modelopt.reset_stats()});
my $second = q{FROM modelopt.stat_drift WHERE model_name = 'digits' AND version = 2};
is(on("SELECT count(*) $second"), '0', 'a version that is not served');
on(q{SELECT predict('digits#2', pixels) FROM digits});
is(on("SELECT feature, n, status, reason $second"), q{||no_reference|only other versions have a reference: SELECT modelopt.copy_reference('digits#1', 'digits#2') takes over that of version 1}, 'and one that is, and has no reference');
is(on(q{SELECT features, status FROM modelopt.stat_drift_summary WHERE model_name = 'digits' AND version = 2}), '0|no_reference', 'in the summary too');
like(on(q{SELECT modelopt.report_html('digits')}), qr/no reference.*copy_reference/s, 'and on the page');
is(on(q{SELECT modelopt.copy_reference('digits#1', 'digits#2')}), $rows, 'is given that of another');
on(q{SELECT predict('digits#2', pixels) FROM digits});
is(on("SELECT count(*), min(n), max(psi), min(port) FROM (SELECT * $second AND kind <> 'output') d"), "64|$rows|0|" . on(q{SELECT min(port) FROM modelopt.stat_drift WHERE version = 1 AND model_name = 'digits' AND kind <> 'output'}), 'and its inputs are compared with it');
is(on(q{SELECT count(DISTINCT (source, query, rows)) FROM modelopt.stat_references WHERE model_name = 'digits'}), '1', 'which is the same');
is(on(q{SELECT count(*) FROM (SELECT name, kind, edges, categories, counts, sums, mean, deviation, minimum, maximum, port, "position", number FROM modelopt_private.drift_feature f JOIN modelopt_private.drift_reference r ON r.id = f.reference_id
	WHERE r.model_id = (SELECT id FROM modelopt_private.named_model WHERE name = 'digits') GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 HAVING count(*) = 2) f}), '74', 'to the last bit');
like(fails("SELECT modelopt.copy_reference($_->[0])"), $_->[1], "refused: $_->[0]")
	for ["'digits#1', 'digits#2'", qr/42710: version "digits#2" has a reference/], ["'digits#1', 'texts#1'", qr/42710/],
	["'texts#1', 'plain#1'", qr/42704: model "plain" does not exist/];
on(q{SELECT modelopt.drop_reference('texts#1')});
like(fails(q{SELECT modelopt.copy_reference('digits#1', 'texts#1')}), qr/22023: the reference has 64 inputs, and the model has 1/, 'features must fit');
like(fails(q{SELECT modelopt.copy_reference('texts#1', 'texts#1')}), qr/42704: version "texts#1" has no reference/, 'and be there');
on(q{SELECT modelopt.set_reference_from_serving('texts#1', 1000)});
like(fails(q{SELECT modelopt.drop_reference('digits#2'); SELECT modelopt.copy_reference('texts#1', 'digits#2')}), qr/55000: the reference of version "texts#1" is being collected/, 'as a whole');
like(fails(q{SELECT modelopt.set_reference('digits#2', 'SELECT pixels FROM digits LIMIT 99'); SELECT 1 / 0}), qr/NOTICE:.*the reference of version "digits#2" has few rows: 99.*22012/s, 'of few rows there is a notice');
is(on("SELECT string_agg(feature, ' ' ORDER BY number) = string_agg(feature, ' ' ORDER BY port, position), count(*) FROM (SELECT row_number() OVER () AS number, * FROM modelopt.stat_drift WHERE model_name = 'digits' AND version = 1 AND kind <> 'output') d"), 't|64', 'features come in the order of the model');

done_testing();
