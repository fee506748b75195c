# Drift from the windows before, and thresholds that are found in them.  Windows are
# a second long, and what is in each is known, so that all that follows is too.
use strict;
use warnings;

use List::Util qw(sum);
use Test::More;

use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.drift_window = 1', 'modelopt.drift_windows = 200', 'modelopt.drift_min_rows = 1000', 'modelopt.stat_flush_interval = 0');
$server->on(sub {
	create_database('drift');
	create_driver('drift');
	query('drift', q{
		SELECT modelopt.commit('fraud', model_agg('w', '{1}')), modelopt.commit('other', model_agg('w', '{2}'));
		SELECT modelopt.set_reference('fraud', 'SELECT i AS amount FROM generate_series(1, 1000) i')});
});
sub on { return $server->query_on('drift', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('drift', $sql))[2] }) }

# 2000 rows in a window of their own, of which the first bin of ten, up to 100, has $moved fewer
# than 200 and the second one, of 150 each, has as many more.
sub fill
{
	my ($model, $moved) = @_;
	on(qq{SELECT pg_sleep(1.05); SELECT driver.observe($model, 1, false, 1, array_agg(CASE WHEN i <= $moved THEN 150 ELSE 50 + (i - 1) / 200 * 100 END::float8)) FROM generate_series(1, 2000) i});
	return;
}

sub counts { my ($moved) = @_; return (200 - $moved, 200 + $moved, (200) x 8) }

# Shares smoothed by half a row in each bin.
sub psi
{
	my ($reference, $current) = @_;
	my ($n, $m) = map { sum(@$_) + 5 } $reference, $current;
	return sum(map { my ($p, $q) = (($reference->[$_] + 0.5) / $n, ($current->[$_] + 0.5) / $m); ($q - $p) * log($q / $p) } 0 .. 9);
}

# SciPy's chi2.ppf(0.99, 9).
my $CHI_SQUARE = 21.665994333461924;

# ---------- thresholds that are found ----------

my @reference = (100) x 10;
my $found = q{SELECT thresholds->'psi'->>'source', thresholds->'psi'->>'windows', (thresholds->'psi'->>'alert')::float8, (thresholds->'psi'->>'warn')::float8, status, psi FROM modelopt.stat_drift WHERE model_name = 'fraud'};
sub mean_and_three_deviations
{
	my $mean = sum(@_) / @_;
	return $mean + 3 * sqrt(sum(map { ($_ - $mean)**2 } @_) / (@_ - 1));
}
sub threshold { return mean_and_three_deviations(map { psi(\@reference, [counts($_)]) } @_) }
sub is_found
{
	my ($what, $status, @moved) = @_;
	my ($source, $windows, $alert, $warn, $is) = split /\|/, on($found);
	is("$source $windows $is", 'auto ' . @moved . " $status", $what);
	cmp_ok(abs($alert - threshold(@moved)), '<', 1e-12, '... by arithmetic');
	cmp_ok($alert, '==', $warn, '... and there is one number');
	return;
}

on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', auto => true)});
my @moved = (10, 20, 12, 18);
fill(1, $_) for @moved;
fill(1, 100);
my $floor = $CHI_SQUARE * (1 / 1000 + 1 / 2000);
my $psi = psi(\@reference, [counts(100)]);
is(on($found =~ s/, psi FROM/, abs(psi - $psi) < 1e-12, abs(psi_noise_floor - $floor) < 1e-9 FROM/r), 'default|4|0.2|0.1|ok|t|t', 'four windows are too few: the defaults hold, and the view says of how many it would be');
cmp_ok($psi, '>', $floor, 'what is to be judged is no chance');
fill(1, 16);
# The one with 100 was no drift then: it is among those that count, and the one that is judged is not.
is_found('five windows are enough', 'ok', @moved, 100);
fill(1, 190);
is_found('a window that drifts by any measure', 'drift', @moved, 100, 16);
like(on(q{SELECT reason FROM modelopt.stat_drift}), qr/psi [\d.]+ is at least 0\.\d{4}, found by 6 windows/, '... whose reason has the number, and where it is from');
fill(1, 14);
is_found('is none of those that count', 'ok', @moved, 100, 16);
on(q{SELECT modelopt.reset_drift()});
fill(1, $_) for @moved, 16, 14;
fill(1, 100);
is_found('a window within the defaults, far from those before', 'drift', @moved, 16, 14);
on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.01, 0.02, 'amount')});
is((split /\|/, on($found))[0], 'set', 'numbers of the feature come first');
on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', feature => 'amount'), modelopt.set_drift_threshold('fraud', 'psi')});
is((split /\|/, on($found))[0], 'default', 'nothing brings the defaults back');
is(on(q{SELECT DISTINCT operation FROM modelopt.audit WHERE operation = 'set drift threshold' AND details @> '{"auto": true}'}), 'set drift threshold', 'the audit has it');

# ---------- the windows before ----------

# Of windows against those before them.
sub previous_threshold
{
	my @counts = map { [counts($_)] } @_;
	return mean_and_three_deviations(map { psi($counts[$_ - 1], $counts[$_]) } 1 .. $#counts);
}

is(on(q{SELECT modelopt.set_reference_to_previous('fraud')}), '1000', 'a version with a reference is compared with windows before, whose bins it has');
fill(1, 30);
my $previous = q{SELECT reference_kind, ref_rows, n, abs(psi - %s) < 1e-12, abs(psi_noise_floor - %s) < 1e-9, abs(mean_ref - %s) < 1e-9, status FROM modelopt.stat_drift WHERE model_name = 'fraud'};
# Each of the 100 that are moved from bin 1 has 150 instead of 50.
is(on(sprintf $previous, psi([counts(100)], [counts(30)]), $CHI_SQUARE / 1000, 500 + 100 * 100 / 2000), 'previous|2000|2000|t|t|t|ok', 'the window before is the reference, and the floor is that of its rows');
is(on(q{SELECT string_agg(ref_count || ' ' || count, ', ' ORDER BY bin) FROM modelopt.stat_drift_bins WHERE bin <= 3 AND model_name = 'fraud'}), '100 170, 300 230, 200 200', 'bins have it too');
is(on(q{SELECT abs(sum(psi_part) - (SELECT psi FROM modelopt.stat_drift)) < 1e-12 FROM modelopt.stat_drift_bins}), 't', 'and add up');
fill(1, 190);
is(on(sprintf $previous, psi([counts(30)], [counts(190)]), $CHI_SQUARE / 1000, 500 + 100 * 30 / 2000), 'previous|2000|2000|t|t|t|drift', 'what changes suddenly drifts');
fill(1, 190);
is(on(sprintf $previous, psi([counts(190)], [counts(190)]), $CHI_SQUARE / 1000, 500 + 100 * 190 / 2000), 'previous|2000|2000|t|t|t|ok', 'and what stays so does not');
is(on(q{SET modelopt.drift_min_rows = 3000; SELECT ref_rows, n, window_end - window_start >= interval '2 s' FROM modelopt.stat_drift}), '4000|4000|t', 'as many windows as it takes, on both sides');
is(on(q{SELECT source, previous FROM modelopt.stat_references}), 'training|t', 'the reference stays');
# The last one before what is judged, from 30 to 190, was drift.
is(on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi', auto => true); SET modelopt.drift_min_rows = 2000; SELECT thresholds->'psi'->>'windows', abs((thresholds->'psi'->>'alert')::float8 - } . previous_threshold(10, 20, 12, 18, 16, 14, 100, 30) . q{) < 1e-12 FROM modelopt.stat_drift}),
	"\n7|t", 'found thresholds are those of windows against the ones before them');
on(q{SELECT modelopt.set_drift_threshold('fraud', 'psi')});

is(on(q{SELECT modelopt.set_reference_to_previous('fraud', false); SELECT reference_kind, ref_rows FROM modelopt.stat_drift}), "1000\ntraining|1000", 'and comes back');
on(q{SELECT modelopt.reset_drift(), modelopt.set_reference_to_previous('fraud')});
is(on(q{SELECT status, reason FROM modelopt.stat_drift}), 'insufficient|0 rows of at least 1000', 'without rows there is nothing to tell');
fill(1, 10);
is(on(q{SELECT status, reason, ref_rows, psi FROM modelopt.stat_drift}), 'no_reference|0 rows of at least 1000 in the windows before|0|', 'nor without rows before');
is(on(q{SELECT status FROM modelopt.stat_drift_summary}), 'insufficient', 'which is so of the whole');
is(on(q{SELECT count(*), sum(ref_count), count(psi_part) FROM modelopt.stat_drift_bins}), '14|0|0', 'and bins say it');

# A version without a reference.
like(fails(q{SELECT modelopt.set_reference_to_previous('other', false)}), qr/42704: version "other#1" has no reference.*HINT:  modelopt\.set_reference/s, 'no reference to go back to');
is(on(q{SELECT modelopt.set_reference_to_previous('other')}), '0', 'without a reference bins are made of what is served');
is(on(q{SELECT reference_kind, status, reason FROM modelopt.stat_drift WHERE model_name = 'other'}), 'previous|no_reference|1000 rows are being collected', 'which the view says');
fill(2, 0);
is(on(q{SELECT modelopt.set_reference_from_serving('other')}), '1000', 'as of a reference from serving');
fill(2, 0);
fill(2, 100);
is(on(q{SELECT reference_kind, feature, ref_rows, n FROM modelopt.stat_drift WHERE model_name = 'other'}), 'previous|input1|2000|2000', 'then the windows before are the reference');
is(on(q{SELECT source, previous FROM modelopt.stat_references WHERE model_name = 'other'}), 'serving|t', 'of bins from serving');

# Distances whose squares are no numbers: one model's values must not break the view for others.
on(q{SELECT modelopt.commit('wild', model_agg('w', '{3}')); SELECT modelopt.set_reference('wild', 'SELECT i AS amount FROM generate_series(1, 1000) i'); SELECT modelopt.set_drift_threshold('wild', 'wasserstein', auto => true)});
on(q{SELECT pg_sleep(1.05); SELECT driver.observe(3, 1, false, 1, array_agg(CASE WHEN i = 2000 THEN 1e200 ELSE 50 + (i - 1) / 200 * 100 END::float8)) FROM generate_series(1, 2000) i}) for 1 .. 7;
is(on(q{SELECT thresholds->'wasserstein'->>'source', wasserstein BETWEEN 1e150 AND 1e200, psi, status FROM modelopt.stat_drift WHERE model_name = 'wild'}) =~ s/\|[\d.e-]+\|ok$//r, 'default|t', 'distances beyond all measure are none to find a threshold by');

# Nor means that are no numbers, as of windows before: a sum beyond all numbers, and a share below.
on(q{SELECT modelopt.commit('huge', model_agg('w', '{4}')); SELECT modelopt.set_reference('huge', 'SELECT i * 1.7e305::float8 AS amount FROM generate_series(1, 1000) i'), modelopt.set_reference_to_previous('huge')});
for ([q{CASE i WHEN 1 THEN 1.5e308 WHEN 2 THEN 1.6e308 ELSE 1 END}, 'Infinity'], [q{CASE i WHEN 1 THEN 5e-324 ELSE 0 END}, '0'])
{
	my ($value, $mean) = @$_;
	on(qq{SELECT pg_sleep(1.05); SELECT driver.observe(4, 1, false, 1, array_agg(($value)::float8)) FROM generate_series(1, 2000) i}) for 1 .. 2;
	is(on(q{SELECT reference_kind, mean_ref FROM modelopt.stat_drift WHERE model_name = 'huge'}), "previous|$mean", "nor a mean of $mean before");
}

done_testing();
