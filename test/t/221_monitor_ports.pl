# References and models: which input is which feature, what does not fit, and what
# is collected from serving.
use strict;
use warnings;

use Test::More;

use FindBin;
use MIME::Base64 qw(encode_base64);
use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.drift_min_rows = 100', 'modelopt.drift_window = 3600', 'modelopt.stat_flush_interval = 0');
my $data = "$FindBin::RealBin/../data";
sub read_model
{
	my ($name) = @_;
	open my $file, '<:raw', "$data/$name" or die $!;
	local $/ = undef;
	return "model_read(decode('" . encode_base64(readline $file, '') . "', 'base64'))";
}
$server->on(sub {
	create_database('ports');
	create_driver('ports');
	# The first takes age, Amount, word and three pixels, and gives a word, four scores and a whole number.
	query('ports', "SELECT modelopt.commit('columns', @{[read_model('columns.onnx')]}), modelopt.commit('digits', @{[read_model('digits_mlp.onnx')]}),
		modelopt.commit('values', @{[read_model('graph_values.onnx')]})");
	query('ports', q{
		SELECT modelopt.commit('plain', model_agg('w', '{1}'));
		CREATE TABLE training AS SELECT i AS age, i * 2.5 AS amount, 'word' || i % 3 AS word, ARRAY[-i, i + 1, i % 2]::real[] AS pixels FROM generate_series(1, 1000) i});
});
sub on { return $server->query_on('ports', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('ports', $sql))[2] }) }
my $features = q{SELECT feature, port, position, kind FROM modelopt.stat_drift ORDER BY port COLLATE "C", position};

# ---------- by place, and by name ----------

my $expected = join "\n", '%s|Amount|1|numeric', '%s|age|1|numeric', '%s[1]|pixels|1|numeric', '%s[2]|pixels|2|numeric', '%s[3]|pixels|3|numeric', '%s|word|1|categorical';
is(on(q{SELECT modelopt.set_reference('columns', 'SELECT age AS a, amount AS b, word AS c, pixels AS d FROM training')}), '1000', 'columns in the order of the inputs');
is(on($features), sprintf($expected, 'b', 'a', ('d') x 3, 'c'), 'are these, and the view says which');
on(q{SELECT modelopt.drop_reference('columns')});
is(on(q{SELECT modelopt.set_reference('columns', 'SELECT pixels, word, amount, age FROM training')}), '1000', 'columns called like the inputs, in another order');
is(on($features), sprintf($expected, 'amount', 'age', ('pixels') x 3, 'word'), 'go where they belong');
# As serving counts them: age, Amount, a word, pixels.
on(q{SELECT driver.observe(1, 1, false, 2, array_agg(x ORDER BY age, n)) FROM training, LATERAL (VALUES (1, age::float8), (2, amount)) v (n, x)});
on(q{SELECT count(driver.observe_text(1, 1, 3, word)) FROM training});
on(q{SELECT driver.observe(1, 1, false, 3, array_agg(x::float8 ORDER BY age, n), first => 4) FROM training, unnest(pixels) WITH ORDINALITY v (x, n)});
is(on(q{SELECT count(*), sum(n), max(psi), string_agg(DISTINCT status, ' ') FROM modelopt.stat_drift}), '6|6000|0|ok', 'and are compared with what goes in there');
on(q{SELECT modelopt.drop_reference('columns')});

# Outputs: some by name, or the first ones.
on(q{SELECT modelopt.set_reference('columns', 'SELECT age, amount, word, pixels FROM training', 'SELECT age AS whole FROM training')});
is(on(q{SELECT feature, port, position FROM modelopt.stat_drift WHERE kind = 'output'}), 'whole|whole|1', 'an output by its name');
on(q{SELECT driver.observe(1, 1, true, 1, array_agg(age::float8 ORDER BY age), first => 6) FROM training});
is(on(q{SELECT n, psi FROM modelopt.stat_drift WHERE kind = 'output'}), '1000|0', 'is where the model gives it');
on(q{SELECT modelopt.drop_reference('columns')});
on(q{SELECT modelopt.set_reference('columns', 'SELECT age, amount, word, pixels FROM training', 'SELECT word AS first, ARRAY[0.25, 0.5, age, 1] AS second FROM training')});
is(on(q{SELECT string_agg(concat_ws(' ', feature, port, position), ', ' ORDER BY port, position) FROM modelopt.stat_drift WHERE kind = 'output'}),
	'first same 1, second[1] scores 1, second[2] scores 2, second[3] scores 3, second[4] scores 4', 'or those that come first');
on(q{SELECT modelopt.drop_reference('columns')});

# One input with many values, and a model without a graph.
on(q{SELECT modelopt.set_reference('digits', 'SELECT array_fill(age, ARRAY[64]) AS p FROM training')});
is(on(q{SELECT port, count(*), bool_and(feature = format('p[%s]', position)) FROM modelopt.stat_drift GROUP BY 1}), 'pixels|64|t', 'one input with many values');
on(q{SELECT modelopt.drop_reference('digits'); SELECT modelopt.set_reference('plain', 'SELECT age, word FROM training')});
is(on(q{SELECT count(*), count(port), count(position) FROM modelopt.stat_drift}), '2|0|0', 'without a graph nobody knows');
on(q{SELECT modelopt.drop_reference('plain')});

# ---------- what does not fit ----------

for my $case (
	['columns', 'SELECT age, amount FROM training', qr/22023: no column is called like the input "word" of the model, though others are.*age f32\[rows, 1\], Amount f64.*the reference has age, amount\..*HINT:  Call all columns like inputs of the model, with AS, or none/s, 'too few by name'],
	['columns', 'SELECT age, amount, word, pixels AS pixel FROM training', qr/22023: column "pixel" is no input of the model, though others are/, 'a name that is none'],
	['columns', 'SELECT amount AS age, age AS years, word, pixels FROM training', qr/22023: column "years" is no input/, 'half of the names'],
	['columns', 'SELECT age, amount, word, pixels[:2] AS pixels FROM training', qr/22023: input "pixels" has 3 values, and the reference has 2/, 'too few in an array'],
	['columns', 'SELECT age, amount, word, pixels, age FROM training', qr/22023: columns 1 and 5 of the query of a reference are both called "age".*HINT:  Name them apart with AS/s, 'one twice'],
	['columns', 'SELECT 1 AS a, 2 AS b, 3 AS c', qr/22023: the reference has 3 inputs, and the model has 6.*HINT:  Its columns are the inputs of the model in their order/s, 'too few'],
	['columns', 'SELECT 1 AS a, 2 AS b, 3 AS c, 4 AS d, 5 AS e, 6 AS f, 7 AS g', qr/22023: the reference has 7 inputs, and the model has 6/, 'too many'],
	['columns', 'SELECT age AS a, word AS b, amount AS c, pixels AS d FROM training', qr/22023: input "Amount" has numbers, and column "b" of the reference texts.*HINT:  The column is to be as the model has it/s, 'a text for a number'],
	['columns', 'SELECT age, amount, 7 AS word, pixels FROM training', qr/22023: input "word" has texts, and column "word" of the reference numbers.*HINT:  Cast the column to text/s, 'a number for a text'],
	['digits', 'SELECT age FROM training', qr/22023: the reference has 1 inputs, and the model has 64/, 'too few for one input'],
	['digits', 'SELECT array_fill(1, ARRAY[64])', qr/22023: the reference has 1 outputs, and the model has 10/, 'too few outputs', 'SELECT 1 AS a'],
	['digits', 'SELECT age + 1 FROM training', qr/22023: column 1 of the query of a reference has no name.*HINT:  Name it with AS/s, 'a column without a name'],
	['digits', 'SELECT array_fill(1, ARRAY[64])', qr/22023: column 2 of the query of a reference has no name/, 'an output without a name', 'SELECT age, age + 1 FROM training'],
	['columns', 'SELECT age, amount, word, pixels FROM training', qr/22023: the reference has 3 outputs, and the model has 6/, 'outputs that end within one', q{SELECT 'a' AS a, 1 AS b, 2 AS c}],
	['columns', 'SELECT age, amount, word, pixels FROM training', qr/22023: output "scores" has numbers, and column "second" of the reference texts/, 'texts for an output of numbers', q{SELECT 'a' AS first, 'b' AS second, 1 AS c, 2 AS d, 3 AS e}])
{
	my ($model, $query, $error, $what, $outputs) = @$case;
	like(fails("SELECT modelopt.set_reference('$model', \$q\$$query\$q\$" . ($outputs ? ", \$q\$$outputs\$q\$)" : ')')), $error, "refused: $what");
}
is(on('SELECT count(*) FROM modelopt.stat_references'), '0', 'none of them is a reference');
# What was made elsewhere must fit as well.
like(fails(q{SELECT modelopt.put_reference('digits', jsonb_agg(p)) FROM modelopt.profile('SELECT age FROM training') p}), qr/22023: the reference has 1 inputs, and the model has 64/, 'nor is what was made elsewhere');
is(on(q{SELECT modelopt.put_reference('digits', jsonb_agg(p)) FROM modelopt.profile('SELECT array_fill(age, ARRAY[64]) AS p FROM training') p; SELECT modelopt.drop_reference('digits')}), "1000\n", 'but when it fits');
# Inputs of every type, of which several have no width that the graph tells: nothing is known of them.
on(q{SELECT modelopt.set_reference('values', 'SELECT age AS a, age AS b, age AS c, word FROM training')});
is(on(q{SELECT port, count(*) FROM modelopt.stat_drift GROUP BY 1 ORDER BY 1}), "scalar|1\n|3", 'what the graph does not tell is not told');
on(q{SELECT modelopt.drop_reference('values')});

# ---------- from serving ----------

is(on(q{SELECT modelopt.set_reference_from_serving('columns', 1000)}), '0', 'what is served is collected');
# Word 1 is half of all, 2 a third, and 250 others come once or twice each; 10 of 1000 are null, and 5 too long.
my $word = q{CASE WHEN i %% 6 < 3 THEN 'wörd1' WHEN i %% 6 < 5 THEN 'word2' ELSE 'rare' || i %% 250 END};
sub observe
{
	my ($from, $to) = @_;
	on(sprintf(q{SELECT driver.observe(1, 1, false, 2, (SELECT array_agg(v ORDER BY i, n) FROM generate_series(%1$d, %2$d) i, LATERAL (VALUES (1, i::float8), (2, i %% 4)) x (n, v))),
			driver.observe(1, 1, false, 3, (SELECT array_agg(i::float8 * n ORDER BY i, n) FROM generate_series(%1$d, %2$d) i, generate_series(1, 3) n), first => 4)}, $from, $to));
	on(sprintf("SELECT count(driver.observe_text(1, 1, 3, CASE WHEN i %% 100 = 0 THEN NULL WHEN i %% 200 = 1 THEN repeat('long', 100) ELSE $word END)) FROM generate_series(%d, %d) i", $from, $to));
	return;
}
observe(1, 400);
is(on(q{SELECT modelopt.set_reference_from_serving('columns')}), '400', 'so many have come');
observe(401, 1000);
is(on(q{SELECT modelopt.set_reference_from_serving('columns')}), '1000', 'texts and numbers');
is(on($features), join("\n", 'Amount|Amount|1|numeric', 'age|age|1|numeric', 'pixels[1]|pixels|1|numeric', 'pixels[2]|pixels|2|numeric', 'pixels[3]|pixels|3|numeric', 'word|word|1|categorical'), 'features are called like the inputs');
my $counted = q{SELECT count(*) FROM (SELECT CASE WHEN i % 100 = 0 THEN 'null' WHEN i % 200 = 1 THEN 'long' ELSE CASE WHEN i % 6 < 3 THEN 'wörd1' WHEN i % 6 < 5 THEN 'word2' ELSE 'rare' END END AS w FROM generate_series(1, 1000) i) u WHERE w = '%s'};
my %count = map { $_ => on($counted =~ s/%s/$_/r) } qw(null long wörd1 word2 rare);
is(on(q{SELECT bin, category, ref_count FROM modelopt.stat_drift_bins WHERE feature = 'word' AND bin < 3 ORDER BY bin}), "1|wörd1|$count{'wörd1'}\n2|word2|$count{word2}", 'the most frequent first, as many as came');
is(on(q{SELECT max(bin) - 2, sum(ref_count) FILTER (WHERE category NOT IN ('wörd1', 'word2', 'null', 'not finite')), sum(ref_count) FILTER (WHERE category = 'null') FROM modelopt.stat_drift_bins WHERE feature = 'word'}),
	join('|', 31, $count{rare} + $count{long}, $count{null}), 'thirty of them, and all others');
is(on(q{SELECT sum(ref_count) FROM modelopt.stat_drift_bins WHERE feature = 'word'}), '1000', 'which are all rows');
observe(1, 1000);
is(on(q{SELECT count(*), min(n), max(psi), max(null_rate_delta), string_agg(DISTINCT status, ' ') FROM modelopt.stat_drift}), '6|1000|0|0|ok', 'the same again is no drift');
is(on(q{SELECT source, rows, previous FROM modelopt.stat_references}), 'serving|1000|f', 'a reference from serving');

# More different texts than there is room for: the first hundred that come, and others.
on(q{SELECT modelopt.commit('plain', model_agg('w', '{2}')); SELECT modelopt.set_reference_from_serving('plain', 500); SELECT count(driver.observe_text(4, 2, 1, 'text' || i)) FROM generate_series(1, 300) i;
	SELECT count(driver.observe_text(4, 2, 1, 'text' || 1 + i % 50)) FROM generate_series(1, 100) i; SELECT count(driver.observe_text(4, 2, 1, 'text200')) FROM generate_series(1, 1000) i});
is(on(q{SELECT modelopt.set_reference_from_serving('plain')}), '500', 'rows that are wanted, and no more');
is(on(q{SELECT feature, kind FROM modelopt.stat_drift WHERE model_name = 'plain'}), 'input1|categorical', 'without a graph a feature has a number');
# The fifty that came three times are the most frequent; thirty of them are kept, the first by their bytes, and 410 of 500 rows are of others.
is(on(q{SELECT count(*) FILTER (WHERE ref_count = 3), max(ref_count) FROM modelopt.stat_drift_bins WHERE model_name = 'plain'}), '30|410', 'categories and others');

# What was collected outlives a restart.
on(q{SELECT modelopt.drop_reference('plain'); SELECT modelopt.set_reference_from_serving('plain', 200); SELECT count(driver.observe_text(4, 2, 1, 'a')) FROM generate_series(1, 150) i});
$server->halt;
$server->start;
is(on(q{SELECT modelopt.set_reference_from_serving('plain')}), '150', 'texts outlive a restart');
on(q{SELECT count(driver.observe_text(4, 2, 1, 'b')) FROM generate_series(1, 150) i; SELECT modelopt.set_reference_from_serving('plain')});
is(on(q{SELECT category, ref_count FROM modelopt.stat_drift_bins WHERE model_name = 'plain' AND bin < 4 ORDER BY bin}), "a|150\nb|50\nother|0", 'and go on');

# A model of many texts, which come one by one: what is kept of a feature until it is flushed is 27 kB.
on(q{SELECT modelopt.drop_reference('plain'); SELECT modelopt.set_reference_from_serving('plain', 200)});
like(on(q{SELECT count(driver.observe_text(4, 2, i, 'a')) FROM generate_series(1, 256) i;
	SELECT sum(total_bytes) BETWEEN 256 * 27000 AND 256 * 32000 FROM pg_backend_memory_contexts WHERE name = 'modelopt drift'}), qr/^256\nt$/, 'takes memory for each of them, and no more');

# Texts that the database's encoding does not have: a cat in LATIN1, and in SQL_ASCII a word that is not UTF-8.
$server->on(sub {
	for my $encoding ('LATIN1', 'SQL_ASCII')
	{
		my $database = lc $encoding;
		create_database($database, like => "TEMPLATE template0 ENCODING $encoding LC_COLLATE 'C' LC_CTYPE 'C'");
		create_driver($database);
		query($database, q{SELECT modelopt.commit('plain', model_agg('w', '{1}'))});
	}
	query('latin1', q{SELECT modelopt.set_reference_from_serving('plain', 100)});
	query('latin1', q{SET client_encoding = LATIN1; SELECT count(driver.observe_text(1, 1, 1, CASE WHEN i % 4 = 0 THEN E'\xe7\x8c\xab' ELSE E'caf\xc3\xa9' END)) FROM generate_series(1, 100) i});
	is(query('latin1', q{SELECT modelopt.set_reference_from_serving('plain')}), '100', 'a reference is made of what another encoding has');
	is(query('latin1', q{SELECT category, ref_count FROM modelopt.stat_drift_bins WHERE bin < 3 ORDER BY bin}), "café|75\nother|25", 'where it is among the others');
	query('sql_ascii', q{SELECT modelopt.set_reference('plain', $$SELECT CASE WHEN i % 4 = 0 THEN E'caf\xe9' ELSE 'tea' END FROM generate_series(1, 100) i$$)});
	query('sql_ascii', q{SELECT count(driver.observe_text(1, 1, 1, 'tea')) FROM generate_series(1, 100)});
	is(query('sql_ascii', q{SELECT count FROM modelopt.stat_drift_bins WHERE category = 'tea'}), '100', 'and a category that is none of UTF-8 harms no prediction');
});

done_testing();
