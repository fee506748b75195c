# The dashboards and the collector's file: by themselves, and each query of theirs
# that a database answers, asked of one.
use strict;
use warnings;

use Cwd qw(realpath);
use FindBin;
use JSON::PP qw(decode_json);
use Test::More;

use Served qw(serve_calls served_server);

my $SHIPPED = realpath("$FindBin::RealBin/../../monitoring");

sub slurp
{
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!";
	local $/ = undef;
	return readline $file;
}

# ---------- the files by themselves ----------

my $collector = slurp("$SHIPPED/modelopt.collector.yml");
my %metric = map { $_ => 1 } $collector =~ /metric_name: (\w+)$/mg;
cmp_ok(scalar keys %metric, '>', 30, 'there are metrics');

# Whatever has an "uid" in a dashboard says the data source by its variable.
sub uids
{
	my ($node) = @_;
	return map { uids($_) } @$node if ref $node eq 'ARRAY';
	return () unless ref $node eq 'HASH';
	return ((exists $node->{uid} ? $node->{uid} : ()), map { uids($_) } values %$node);
}

my %board = map { $_ => decode_json(slurp("$SHIPPED/grafana/modelopt-$_.json")) } 'prometheus', 'postgres';
for my $name (sort keys %board)
{
	my $board = $board{$name};
	my (%id, %cell, @faults);
	is((delete local $board->{uid}), "modelopt-$name", "$name: has a name of its own");
	is_deeply([grep { $_ ne '${datasource}' } uids($board)], [], 'data sources are a variable');
	is($board->{templating}{list}[0]{type}, 'datasource', 'which comes first');
	ok(!exists $board->{__inputs} && !exists $board->{id}, 'it can be provisioned');
	for my $panel (@{ $board->{panels} })
	{
		my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};
		push @faults, "$panel->{title}: the number $panel->{id} is there twice" if $id{ $panel->{id} }++;
		push @faults, "$panel->{title}: too wide" if $x < 0 || $x + $w > 24;
		push @faults, "$panel->{title}: nothing is said of it" unless $panel->{type} eq 'row' || $panel->{description};
		for my $column ($x .. $x + $w - 1)
		{
			push @faults, "$panel->{title}: over $cell{\"$column $_\"}" for grep { exists $cell{"$column $_"} } $y .. $y + $h - 1;
			$cell{"$column $_"} = $panel->{title} for $y .. $y + $h - 1;
		}
	}
	is_deeply(\@faults, [], 'panels have numbers and places of their own, and say what they are');
}
my %asked = map { $_ => 1 } map { ($_->{expr} // '') =~ /\b(modelopt_\w+)/g } map { @{ $_->{targets} // [] } } @{ $board{prometheus}{panels} };
cmp_ok(scalar keys %asked, '>', 15, 'the dashboard asks for metrics');
is_deeply([grep { !$metric{$_} } sort keys %asked], [], 'that there are');
is_deeply([grep { !$metric{$_} } slurp("$SHIPPED/modelopt.rules.yml") =~ /\b(modelopt_\w+)/g], [], 'and so do the rules');

# ---------- asked of a database ----------

my $server = served_server();
sub on { return $server->query_on('stats', @_) }
on('SELECT modelopt.snapshot_stats()');
serve_calls($server);
on('SELECT modelopt.snapshot_stats()');
# As somebody who reads statistics and may use this model.
on(q{SELECT modelopt.grant_usage('fraud', 'exporter')});

for my $query ($collector =~ /query_name: (\w+)$/mg)
{
	my ($sql) = $collector =~ /query_name: $query\n    query: (?:>-\n)?((?:.+\n)(?:      .+\n)*)/ or die $query;
	my %column;
	my @metrics = grep { /query_ref: $query$/m } split /^  - metric_name/m, $collector;
	for my $metric (@metrics)
	{
		$column{$_} //= 'text' for map { split /, / } $metric =~ /key_labels: \[([^\]]*)\]/;
		$column{$_} = 'double precision' for map { split /, / } $metric =~ /values: \[([^\]]*)\]/;
	}
	my $columns = join ', ', map { "${_}::$column{$_}" } sort keys %column;
	cmp_ok(on("SET ROLE exporter; SELECT count(*) FROM (SELECT $columns FROM ($sql) q) r"), '>', 0, "the collector's query $query has " . scalar(@metrics) . ' metrics');
}

for my $panel (grep { $_->{targets} } @{ $board{postgres}{panels} })
{
	for my $target (@{ $panel->{targets} })
	{
		my $sql = $target->{rawSql};
		$sql =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN now() - interval '6 hours' AND now()/g;
		$sql =~ s/\$model\b/'fraud'/g;
		unlike($sql, qr/\$/, "the panel \"$panel->{title}\" has no other macros");
		my $rows = on("SET ROLE exporter; SELECT count(*) FROM ($sql) q");
		cmp_ok($rows, '>=', $sql =~ /FROM modelopt\.stat_(activity|progress) ORDER/ ? 0 : 1, 'and rows');
		# A plot over time needs a time, and numbers.
		next unless $target->{format} eq 'time_series';
		is(on("SET ROLE exporter; SELECT pg_typeof(q.time) || ' ' || pg_typeof(q.metric) FROM ($sql) q LIMIT 1"), 'timestamp with time zone text', 'a time and a name');
	}
}
my ($percentile) = map { $_->{targets}[0]{rawSql} } grep { $_->{title} eq 'p99' } @{ $board{postgres}{panels} };
$percentile =~ s/\$__timeFilter\((\w+)\)/true/g;
$percentile =~ s/\$model\b/'fraud'/g;
# Between the two, the same hundred invocations of 1 to 100 ms once more.
cmp_ok(abs(on("SELECT p99 FROM ($percentile) q WHERE metric = 'fraud#2'") / 99 - 1), '<', 0.05, 'percentiles of history are of what was between');
is(on(qq{SELECT name FROM ($board{postgres}{templating}{list}[1]{query}) q}), 'fraud', 'the variable has models');

done_testing();
